"""Who acts, by content: another agent under the same settings never continues a folder."""

from __future__ import annotations

import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from playloop.agents.base import Plan, RowAgent
from playloop.agents.dialect import speaking
from playloop.agents.handover import Handover
from playloop.agents.replay import ReplayAgentConfig
from playloop.core.content import content_hash, named_files, provenance_of
from playloop.envs.toy import ToyReachConfig
from playloop.policies.dialects import DIALECTS
from playloop.rollouts.evaluate import evaluate

CONFIG = ToyReachConfig(tasks=1, inits=2, horizon=4)


class Stranger(RowAgent):
    """Somebody's own agent: it has weights in a file and tells nothing of them."""

    reads, rows = frozenset(), 1

    def __init__(self, weights):
        self.weights = np.load(weights)

    def prepare(self, contract):
        pass

    def begin(self, episode):
        return None

    def decide(self, carry, observation, rng):
        return carry, Plan(self.weights[None])


class Told(Stranger):
    def __init__(self, name):
        self.name = name

    def provenance(self):
        return {"checkpoint_sha256": self.name}


def replay(folder):
    return ReplayAgentConfig(str(folder)).make()


def record(folder, value):
    folder.mkdir()
    for episode in CONFIG.episodes():
        np.savez(folder / f"{episode.key}.npz", actions=np.full((3, 2), value, np.float32))


def test_a_replay_is_named_by_what_it_repeats(tmp_path):
    for name, value in (("a", 0.5), ("b", 0.25)):
        record(tmp_path / name, value)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    hashes = [replay(tmp_path / name).provenance()["actions_sha256"] for name in ("a", "b", "copy")]
    assert hashes[0] == hashes[2] != hashes[1]


def test_agents_name_those_inside_them():
    def inner(name):
        return Told(name)

    policies = [SimpleNamespace(make=partial(inner, name)) for name in "ab"]
    handovers = [Handover(SimpleNamespace(policy=policy)).provenance() for policy in policies]
    assert handovers[0] != handovers[1] and handovers[0]["policy"] == {"checkpoint_sha256": "a"}
    dialects = [speaking(inner(n), DIALECTS["bridge"], (8, 8), "area").provenance() for n in "ab"]
    assert dialects[0] != dialects[1] and dialects[0]["checkpoint_sha256"] == "a"


def test_files_that_settings_name_stand_for_an_agent_that_tells_nothing(tmp_path):
    path = tmp_path / "weights.npy"
    settings = {"_target_": "mine.Config", "deep": [{"weights": str(path)}], "word": "weights.npy", "n": 3}
    assert named_files(settings) == {}, "there is no such file yet"
    np.save(path, np.zeros(2, np.float32))
    first = provenance_of(Stranger(path), settings)
    assert list(first) == ["deep.0.weights"]
    np.save(path, np.ones(2, np.float32))
    assert provenance_of(Stranger(path), settings) != first
    assert provenance_of(Told("x"), settings) == {"checkpoint_sha256": "x"}
    assert named_files({"checkpoint": tmp_path}) == {"checkpoint": content_hash([tmp_path])}


@pytest.mark.parametrize("kind", ["replay", "stranger"])
def test_another_agent_in_the_same_folder_is_refused(tmp_path, kind):
    data = tmp_path / "data"

    def run(value):
        if kind == "replay":
            shutil.rmtree(data, ignore_errors=True)
            record(data, value)
            agent, settings = replay(data), {"agent": {"folder": str(data)}}
        else:
            data.mkdir(exist_ok=True)
            np.save(data / "w.npy", np.full(2, value, np.float32))
            agent, settings = Stranger(data / "w.npy"), {"agent": {"weights": str(data / "w.npy")}}
        return evaluate(CONFIG, agent, CONFIG.episodes(), tmp_path / "out", 0, config=settings)["result"]

    first = run(0.5)
    assert first["overall"]["errors"] == 0
    with pytest.raises(ValueError, match=r"begun with another configuration \(agent\..*out=…"):
        run(0.25)
    assert run(0.5) == first
