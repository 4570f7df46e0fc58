"""Environments by their names in Gymnasium's registry."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from simpler_assets import why_skip

import playloop
from playloop.configs.registration import FAMILIES, make
from playloop.core.fields import find
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.toy import ToyReachConfig

TOY = "playloop/ToyReach-v0"


def test_every_family_is_registered():
    assert {name for name in gym.registry if name.startswith("playloop/")} == {
        f"playloop/{family}-v0" for family in FAMILIES
    }
    folder = Path(playloop.__file__).parent / "configs" / "env"
    targets = [path.read_text().partition("_target_: ")[2].split()[0] for path in folder.glob("*.yaml")]
    assert set(targets) == set(FAMILIES.values())
    assert all(issubclass(find(target), EnvConfig) for target in FAMILIES.values())
    assert make.metadata == PlayEnv.metadata


def test_settings_are_keywords_or_a_config():
    for given in ({"tasks": 2, "horizon": 7}, {"config": ToyReachConfig(tasks=2, horizon=7)}):
        env = gym.make(TOY, **given, render_mode="rgb_array")
        assert env.unwrapped.config == ToyReachConfig(tasks=2, horizon=7)
        env.reset(seed=3)
        assert env.render().shape == (64, 64, 3)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(gym.make(TOY, tasks=2).spec.to_json()))
    assert again.unwrapped.config == ToyReachConfig(tasks=2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"taks": 2}, r'playloop/ToyReach-v0 has no setting \'taks\' \(did you mean "tasks"\?\)'),
        ({"tasks": 9}, "ToyReachConfig.tasks=9: use a number of at most 4"),
        ({"tasks": 2, "config": ToyReachConfig()}, "got config=… and tasks; give one of the two"),
        ({"config": {"tasks": 2}}, "is not derived from playloop.envs.config.EnvConfig"),
    ],
)
def test_what_cannot_be_is_one_sentence(given, said):
    with pytest.raises(ValueError, match=said) as caught:
        gym.make(TOY, **given)
    assert "\n" not in str(caught.value)


def test_a_world_model_is_found_by_its_shipped_name():
    env = gym.make("playloop/World-v0", sampler={"temperature": 0.5}, horizon=2)
    assert env.unwrapped.config.sampler.temperature == 0.5
    seen, _ = env.reset(seed=0)
    assert seen["images"]["pov"].dtype == np.uint8
    env.step(np.zeros(env.action_space.shape, np.float32))
    assert env.step(np.zeros(env.action_space.shape, np.float32))[2], "the horizon ends it"
    with pytest.raises(FileNotFoundError, match='did you mean "craft"'):
        gym.make("playloop/World-v0", checkpoint="crafty")


def test_simpler_knows_its_settings():
    """Its environment is one of two, by the suite."""
    if reason := why_skip("bridge"):
        pytest.skip(reason)
    env = gym.make("playloop/Simpler-v0", suite="bridge", horizon=3)
    assert env.unwrapped.config.suite == "bridge"
    assert env.unwrapped.episodes() == env.unwrapped.config.episodes()


SCRIPT = """
import sys

import gymnasium

if __name__ == "__main__":
    env = gymnasium.make("playloop:playloop/ToyReach-v0", tasks=2)
    assert "hydra" not in sys.modules and "torch" not in sys.modules
    vector = gymnasium.make_vec(
        "playloop/ToyReach-v0", 2, "async", vector_kwargs={"context": "spawn"}, tasks=1
    )
    seen, _ = vector.reset(seed=0)
    print(seen["instruction"], env.unwrapped.config.tasks)
    vector.close()
"""


def test_gymnasium_alone_makes_it_by_its_long_name(tmp_path):
    """Also in spawned processes, and with nothing imported that an environment does not need."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(playloop.__file__).parents[1])}
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "('reach the red square', 'reach the red square') 2\n"


def test_functions_that_make_it_serve_in_vectors_of_spawned_processes():
    makers = [partial(gym.make, f"playloop:{TOY}", tasks=task) for task in (1, 2)]
    vector = gym.vector.AsyncVectorEnv(makers, context="spawn")
    try:
        seen, _ = vector.reset(seed=[0, 1])
        assert seen["images"]["top"].shape == (2, 64, 64, 3)
        assert all(text.startswith("reach the ") for text in seen["instruction"])
        alone = [gym.make(TOY, tasks=task).reset(seed=seed)[0] for task, seed in ((1, 0), (2, 1))]
        assert seen["instruction"] == tuple(one["instruction"] for one in alone)
        assert np.array_equal(seen["images"]["top"][1], alone[1]["images"]["top"])
    finally:
        vector.close()
