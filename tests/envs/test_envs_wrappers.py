"""Gymnasium's wrappers and vectors around Playloop's environments, ours for arrays, and Stable-Baselines3."""

from __future__ import annotations

from importlib.util import find_spec

import av
import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import (
    FilterObservation,
    FlattenObservation,
    RecordEpisodeStatistics,
    RecordVideo,
    TimeLimit,
    TransformAction,
    TransformObservation,
)

import playloop  # noqa: F401 (registers the environments)
from playloop.envs.wrappers import ArrayObservation

LIBERO = pytest.mark.skipif(not find_spec("libero"), reason="LIBERO is not installed")
CASES = [
    ("ToyReach", {"horizon": 5}),
    ("Craft", {"horizon": 5}),
    pytest.param("Libero", {"horizon": 5, "size": 32, "settle_steps": 0}, marks=LIBERO),
]


def made(name, settings, **more):
    """An environment whose actions press nothing that ends an episode."""
    env = gym.make(f"playloop/{name}-v0", **settings, **more)
    return TransformAction(env, np.zeros_like, env.action_space)


def play(env, steps=9):
    """An episode, and what was seen."""
    seen, info = env.reset(seed=0)
    rows, ends = [seen], (False, False)
    while not any(ends) and len(rows) <= steps:
        seen, _, *ends, info = env.step(env.action_space.sample())
        rows.append(seen)
    return rows, ends, info


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_wrappers_work(name, settings):
    env = made(name, settings)
    plain, ends, _ = play(env)
    assert len(plain) == 6 and ends == [False, True]
    flat = FlattenObservation(env)
    for row, same in zip(play(flat)[0], plain, strict=True):
        assert flat.observation_space.contains(row)
        assert np.array_equal(row, gym.spaces.flatten(env.observation_space, same))
    assert len(play(TimeLimit(env, 2))[0]) == 3
    states = TransformObservation(env, lambda seen: seen["state"], env.observation_space["state"])
    assert np.array_equal(play(states)[0], [row["state"] for row in plain])
    assert set(play(FilterObservation(env, ["images", "state"]))[0][0]) == {"images", "state"}
    assert play(RecordEpisodeStatistics(env))[2]["episode"]["l"] == 5
    arrays = ArrayObservation(env)
    for row, same in zip(play(arrays)[0], plain, strict=True):
        assert arrays.observation_space.contains(row) and set(row) == {*same["images"], "state", "task"}
        assert all(np.array_equal(row[camera], image) for camera, image in same["images"].items())
    assert gym.spaces.utils.is_space_dtype_shape_equiv(
        gym.make(ArrayObservation(gym.make(f"playloop/{name}-v0", **settings)).spec).observation_space,
        arrays.observation_space,
    )
    env.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vectors_of_wrapped_environments_know_their_tasks(mode):
    vector = gym.make_vec("playloop/ToyReach-v0", 3, mode, wrappers=[ArrayObservation], inits=1)
    seeds = (3, 9)
    try:
        tasks = [vector.reset(seed=seed)[0]["task"].tolist() for seed in seeds]
        assert {task for row in tasks for task in row} == {0, 1, 2, 3}
        alone = gym.make("playloop/ToyReach-v0", inits=1)
        names = alone.unwrapped.config.task_names()
        for seed, row in zip(seeds, tasks, strict=True):
            told = [alone.reset(seed=seed + place)[0]["instruction"] for place in range(3)]
            assert told == [names[task] for task in row]
        vector.step(np.zeros((3, 2), np.float32))
    finally:
        vector.close()


@LIBERO
def test_a_vector_of_simulators_tells_each_instruction():
    spawned = {"context": "spawn"}  # it hangs in a fork of a process that has drawn
    vector = gym.make_vec("playloop/Libero-v0", 2, "async", vector_kwargs=spawned, size=32, settle_steps=0)
    alone = gym.make("playloop/Libero-v0", size=32, settle_steps=0)
    try:
        seen, info = vector.reset(seed=4)
        assert seen["images"]["agentview"].shape == (2, 32, 32, 3)
        names = alone.unwrapped.config.task_names()
        assert seen["instruction"] == tuple(names[task] for task in info["episode"]["task"])
        one, _ = alone.reset(seed=5)
        assert seen["instruction"][1] == one["instruction"]
        assert np.array_equal(seen["state"][1], one["state"])
        assert np.array_equal(seen["images"]["agentview"][1], one["images"]["agentview"])
        assert len(vector.step(np.zeros((2, 7), np.float32))[1]) == 2
    finally:
        vector.close()
        alone.close()


@pytest.mark.skipif(not find_spec("moviepy"), reason="RecordVideo needs MoviePy: pip install moviepy")
@pytest.mark.filterwarnings("ignore")  # MoviePy's
def test_videos_have_the_rate_of_the_environment(tmp_path):
    env = RecordVideo(made("ToyReach", {"horizon": 5}, render_mode="rgb_array"), str(tmp_path))
    play(env)
    env.close()
    with av.open(str(tmp_path / "rl-video-episode-0.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames, stream.width) == (10, 6, 64)


def test_stable_baselines_learns_the_toy():
    """From where the point is and which square is meant, it learns where the four squares are."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    def vector_env():
        env = ArrayObservation(gym.make("playloop/ToyReach-v0", inits=1))
        return FlattenObservation(FilterObservation(env, ["state", "task"]))

    def rate(act, episodes=40):
        env, won = vector_env(), 0
        env.action_space.seed(0)
        for seed in range(episodes):
            seen, over = env.reset(seed=seed)[0], False
            while not over:
                seen, _, terminated, truncated, info = env.step(act(env, seen))
                over = terminated or truncated
            won += info["success"]
        return won / episodes

    torch.set_num_threads(1)
    learner = PPO(
        "MlpPolicy",
        make_vec_env(vector_env, 8, seed=0),
        learning_rate=5e-4,
        n_steps=64,
        gamma=0.95,
        ent_coef=0.01,
        seed=0,
        device="cpu",
    )
    learner.learn(12_000)
    chance = rate(lambda env, seen: env.action_space.sample())
    learned = rate(lambda env, seen: learner.predict(seen, deterministic=True)[0])
    assert chance < 0.2 and learned > chance + 0.25, (chance, learned)


def test_stable_baselines_reads_pictures_and_tasks():
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_checker import check_env

    env = ArrayObservation(gym.make("playloop/ToyReach-v0"))
    check_env(env)
    A2C("MultiInputPolicy", env, n_steps=4, device="cpu").learn(8)
