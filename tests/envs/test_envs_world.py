"""A world model behind the contract; `tests/worlds` makes the tiny one."""

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_world import write_lively

from playloop.agents.explorer import ExplorerConfig
from playloop.core.episode import FRESH, Episode
from playloop.core.minecraft import ACTION_SIZE, action_vector
from playloop.envs.world import WorldEnvConfig
from playloop.testing import check_agent, check_env
from playloop.testing.acts import keys
from playloop.worlds.checkpoint import load_inverse, save_part
from playloop.worlds.inverse import InverseConfig


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_lively(tmp_path_factory.mktemp("world"))


def test_it_keeps_the_contract(checkpoint):
    config = WorldEnvConfig(str(checkpoint), inits=6, threads=0)
    check_env(config.make, act=keys)
    check_agent(lambda: ExplorerConfig().make(), config.make)


@pytest.mark.parametrize("part", ["", "tokenizer"])
def test_another_format_is_refused_before_the_weights_are_read(checkpoint, tmp_path, part):
    folder = shutil.copytree(checkpoint, tmp_path / "copy")
    config = folder / part / "config.json"
    record = json.loads(config.read_text())
    for number, said in ((1, "has the format 1 of an older Playloop"), (None, "is no format of Playloop")):
        config.write_text(json.dumps(record | {"format": number}))
        with pytest.raises(ValueError, match=said):
            WorldEnvConfig(str(folder)).check()


def play(env, episode, actions):
    env.begin(episode)
    frames = []
    for action in actions:
        env.advance(action)
        frames.append(env.observe()["images"]["pov"])
    return np.stack(frames)


def test_frames_follow_from_episode_and_actions(checkpoint):
    env = WorldEnvConfig(str(checkpoint), threads=0).make()
    ahead = [action_vector({"forward": 1})] * 4
    still = [np.zeros(ACTION_SIZE, np.float32)] * 4
    one = play(env, Episode("world", 0, FRESH, 1), ahead)
    play(env, Episode("world", 0, 2, 0), still)
    env.warm_up()
    assert np.array_equal(one, play(env, Episode("world", 0, FRESH, 1), ahead))
    assert not np.array_equal(one, play(env, Episode("world", 0, FRESH, 1), still))
    assert not np.array_equal(one, play(env, Episode("world", 0, FRESH, 2), ahead))


def test_it_goes_on_from_pictures_of_any_size(checkpoint):
    env = WorldEnvConfig(str(checkpoint), threads=0).make()
    env.begin(Episode("world", 0, 0))
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (5, 64, 128, 3), np.uint8)
    env.start_from(clip, np.zeros((4, ACTION_SIZE), np.float32))
    first = env.observe()["images"]["pov"]
    env.start_from(clip[-1:])
    assert np.array_equal(first, env.observe()["images"]["pov"])  # the tokenizer's picture of the last frame
    env.advance(np.zeros(ACTION_SIZE, np.float32))
    for wrong in (clip[0], clip.astype(np.float32), clip[:0]):
        with pytest.raises(ValueError, match="uint8"):
            env.start_from(wrong)
    with pytest.raises(ValueError, match="want actions"):
        env.start_from(clip, np.zeros((2, ACTION_SIZE), np.float32))


def test_actions_of_a_clip_are_read_where_they_are_not_given(checkpoint, tmp_path):
    config = InverseConfig(32, 64, before=0, after=0, features=4, reach=1, channels=(8, 8), hidden=16)
    folder = save_part(tmp_path / "inverse", config, config.make(3).state_dict(), {})
    env = WorldEnvConfig(str(checkpoint), threads=0, inverse=str(folder)).make()
    context, still = env.world.model.config.context, np.zeros(ACTION_SIZE, np.float32)
    clip = np.random.default_rng(0).integers(0, 256, (context + 3, 64, 128, 3), np.uint8)

    def ahead(frames, actions=None):
        tokens = []
        for seed in range(8):  # one draw may happen to agree
            env.begin(Episode("world", 0, 0, seed))
            env.start_from(frames, actions)
            env.advance(still)
            tokens.append(env.tokens)
        return torch.stack(tokens)

    given = load_inverse(folder).infer(clip[-context:])
    assert torch.equal(ahead(clip), ahead(clip[-context:], given))
    assert not torch.equal(ahead(clip), ahead(clip[-1:]))


def test_sampling_changes_live_and_is_checked(checkpoint):
    env = WorldEnvConfig(str(checkpoint), threads=0).make()
    still = [np.zeros(ACTION_SIZE, np.float32)] * 3
    env.sampling(0.0, 1.0)
    assert np.array_equal(
        play(env, Episode("world", 0, 1, 0), still), play(env, Episode("world", 0, 1, 9), still)
    )
    for temperature, top_p, wrong in (
        (-1.0, 0.5, "temperature=-1"),
        (1.0, 0.0, "top_p=0"),
        (1.0, 1.5, "top_p=1.5"),
    ):
        with pytest.raises(ValueError, match=wrong):
            env.sampling(temperature, top_p)
    env.sampling(5.0, 1.0, top_k=1)
    hot = play(env, Episode("world", 0, 1, 0), still)
    env.sampling(0.0, 1.0)
    assert np.array_equal(hot, play(env, Episode("world", 0, 1, 0), still))
    with pytest.raises(ValueError, match=r"top_k=5 and top_p=0\.8 exclude each other"):
        env.sampling(1.0, 0.8, top_k=5)


def test_escape_leaves_and_the_horizon_ends(checkpoint):
    env = WorldEnvConfig(str(checkpoint), horizon=2, threads=0).make()
    env.begin(Episode("world", 0, 0))
    assert env.advance(action_vector({"ESC": 1})).terminated
    env.begin(Episode("world", 0, 0))
    still = np.zeros(ACTION_SIZE, np.float32)
    assert not env.advance(still).terminated
    outcome = env.advance(still)
    assert outcome.terminated and outcome.success
