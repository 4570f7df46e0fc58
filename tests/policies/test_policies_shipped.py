"""The policies in the package: whole, verified, found by their environment, and how they were made."""

import json

import pytest

from playloop.cli.checkpoints import find_checkpoint, fitting_policy
from playloop.envs.libero import LiberoConfig
from playloop.envs.simpler.config import SimplerConfig
from playloop.policies.checkpoint import load

SHIPPED = {"libero": LiberoConfig("libero_object"), "bridge": SimplerConfig("bridge")}


@pytest.mark.parametrize("name", SHIPPED)
def test_it_decides_as_it_did_and_is_its_environments_default(name):
    folder, contract = find_checkpoint(name), SHIPPED[name].contract()
    policy = load(folder)  # strict: the golden decision is made again
    assert not policy.contract.differences(contract)
    assert fitting_policy(contract) == folder


@pytest.mark.parametrize("name", SHIPPED)
def test_its_making_can_be_repeated(name):
    record = json.loads((find_checkpoint(name) / "training.json").read_text())
    assert record["command"].startswith("playloop train") and isinstance(record["seed"], int)
    assert record["data"] and all(data["recorded"] and data["episodes"] for data in record["data"])
    assert record["steps"] == record["trainer"]["steps"]


def test_bridge_decides_anew_after_half_a_chunk():
    policy = load(find_checkpoint("bridge"), verify="off")
    assert (policy.execute, policy.chunk) == (4, 8)
