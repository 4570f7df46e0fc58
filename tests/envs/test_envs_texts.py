"""Environments in Gymnasium's vectors of processes: the instruction told there is the environment's."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import playloop.envs  # noqa: F401 (registers them)
from playloop.envs.craft.env import CraftConfig
from playloop.envs.toy import ToyReachConfig


@pytest.mark.parametrize(("name", "config"), [("ToyReach", ToyReachConfig()), ("Craft", CraftConfig())])
def test_both_vectors_tell_the_same_instructions_at_every_step(name, config):
    vectors = [gym.make_vec(f"playloop/{name}-v0", 2, vectorization_mode=mode) for mode in ("sync", "async")]
    episodes = config.episodes()
    try:
        for chosen in (episodes[0], episodes[-1], episodes[0]):
            told = []
            for vector in vectors:
                seen, _ = vector.reset(options={"episode": chosen})
                kept = seen["instruction"]
                after = vector.step(np.zeros_like(vector.action_space.sample()))[0]["instruction"]
                told.append((kept, after))
                assert isinstance(kept, tuple) and all(isinstance(text, str) for text in kept)
            assert told[0] == told[1] and told[0][0][0] != "a" * 64
            if name == "ToyReach":
                assert told[0][0] == (config.task_names()[chosen.task],) * 2
    finally:
        for vector in vectors:
            vector.close()


def test_a_view_without_copies_shows_what_is_now():
    vector = gym.make_vec(
        "playloop/ToyReach-v0", 2, vectorization_mode="async", vector_kwargs={"copy": False}
    )
    try:
        names, episodes = ToyReachConfig().task_names(), ToyReachConfig().episodes()
        seen, _ = vector.reset(options={"episode": episodes[0]})
        assert seen["instruction"] == (names[0],) * 2 and seen["instruction"][1] == names[0]
        vector.reset(options={"episode": episodes[-1]})
        assert list(seen["instruction"]) == [names[-1]] * 2 and len(seen["instruction"]) == 2
    finally:
        vector.close()


@pytest.mark.parametrize("suite", ["libero_goal", "libero_goal_lan", "libero_90"])
def test_every_instruction_lies_in_the_space_that_is_declared(suite):
    pytest.importorskip("libero")
    from playloop.envs.libero import LiberoConfig

    config = LiberoConfig(suite)
    space = config.make().observation_space["instruction"]
    assert all(space.contains(name) for name in config.task_names())
