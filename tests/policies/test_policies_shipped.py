"""The policies in the package: whole, verified, found by their environment, and how they were made."""

import json
import shutil

import numpy as np
import pytest

from playloop.configs.checkpoints import find_checkpoint, fitting_policy
from playloop.envs.libero import LiberoConfig
from playloop.envs.simpler.config import SimplerConfig
from playloop.nn.archives import read_archive
from playloop.nn.manifest import write_manifest
from playloop.policies.checkpoint import checkpoint_hash, load, renew

SHIPPED = {"libero": LiberoConfig("libero_object"), "bridge": SimplerConfig("bridge")}
HASHES = {
    "libero": "5759844527a93bb46bdf6ef965327384c5c2188688a12ceb29e7868fa17f81ea",
    "bridge": "4a34e83f5895572411d7d31361ad4545d0bb0a12af451f9feb1dabf2bd9329c4",
}
"""Weights, settings, statistics and instructions, as results name them."""


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


@pytest.mark.parametrize("name", SHIPPED)
def test_its_files_are_bound_together_and_can_be_written_again(name, tmp_path):
    folder = shutil.copytree(find_checkpoint(name), tmp_path / name)
    renew(folder)
    again, shipped = (read_archive(path / "golden.npz") for path in (folder, find_checkpoint(name)))
    assert again.keys() == shipped.keys() >= {"scores", "tokens", "chunk", "scale", "body", "manifest"}
    assert all(np.array_equal(again[part], shipped[part]) for part in ("tokens", "scale", "body", "state"))
    assert checkpoint_hash(folder) == checkpoint_hash(find_checkpoint(name)) == HASHES[name]
    record = json.loads((folder / "statistics.json").read_text())
    record["action"]["q01"] = [2 * value for value in record["action"]["q01"]]
    (folder / "statistics.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"statistics\.json is not the file that was written"):
        load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json missing"):
        load(folder)
    write_manifest(folder)
    with pytest.raises(ValueError, match="the statistics of actions or the gripper"):
        load(folder)
