"""The toy keeps the contract that real simulators keep."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from playloop.core.episode import FRESH, Episode
from playloop.envs.toy import SUITE, ToyReach, ToyReachConfig

CONFIG = ToyReachConfig()


def roll(episode, steps=12, images=True, env=None):
    env = env or CONFIG.make()
    env.begin(episode)
    rng, rows = np.random.default_rng(0), []
    for _ in range(steps):
        rows.append(env.observe(images=images)["state"])
        env.advance(rng.uniform(-1, 1, 2).astype(np.float32))
    return np.array(rows), env


@pytest.mark.filterwarnings("ignore:.*render modes.*")
def test_gymnasium_accepts_it():
    check_env(ToyReach(render_mode="rgb_array"))


def test_it_can_be_made_by_gymnasium():
    gym.register("playloop-test/ToyReach-v0", entry_point="playloop.envs.toy:ToyReach", order_enforce=False)
    env = gym.make("playloop-test/ToyReach-v0", render_mode="rgb_array")
    env.reset(seed=3)
    assert env.render().shape == (64, 64, 3)
    env.close()


def test_an_episode_is_its_identity():
    episode = Episode(SUITE, 1, 2, 5)
    states, used = roll(episode)
    roll(Episode(SUITE, 3, 0, 1), env=used)
    assert np.array_equal(roll(episode, env=used)[0], states)
    assert np.array_equal(roll(episode, images=False)[0], states)
    for other in ((1, 3, 5), (2, 2, 5), (1, 2, 6), (1, FRESH, 5)):
        assert not np.array_equal(roll(Episode(SUITE, *other))[0], states)


def test_stored_states_do_not_depend_on_the_seed_and_fresh_ones_do():
    def first(init, seed):
        states, env = roll(Episode(SUITE, 0, init, seed), steps=1)
        return states.tobytes() + env.privileged()["target"].tobytes()

    assert first(2, 0) == first(2, 1)
    assert first(FRESH, 0) != first(FRESH, 1)


def test_snapshots_restore():
    episode = Episode(SUITE, 2, 0)
    _, env = roll(episode, steps=5)
    saved = env.snapshot()
    actions = np.random.default_rng(1).uniform(-1, 1, (6, 2))
    first = [(env.advance(action), env.snapshot().tolist()) for action in actions]
    env.restore(saved)
    assert [(env.advance(action), env.snapshot().tolist()) for action in actions] == first


def test_it_ends_with_success_or_at_the_horizon():
    env = ToyReachConfig(horizon=30).make()
    for episode in env.episodes():
        env.begin(episode)
        outcomes = []
        while not (outcomes and (outcomes[-1].terminated or outcomes[-1].truncated)):
            gap = env.privileged()["target"] - env.snapshot()[:2]
            outcomes.append(env.advance(np.clip(gap / 0.05, -1, 1)))
        assert outcomes[-1].success and [o.success for o in outcomes[:-1]] == [False] * (len(outcomes) - 1)
        env.begin(episode)
        away = np.sign(env.snapshot()[:2] - env.privileged()["target"])
        ends = [env.advance(away).truncated for _ in range(30)]
        assert ends == [False] * 29 + [True]


def test_images_are_counted_and_left_out_on_request():
    env = CONFIG.make()
    env.begin(Episode(SUITE, 0, 0))
    assert "images" not in env.observe(images=False) and env.renders == 0
    images = env.observe()["images"]
    assert env.renders == 1 and {name: image.shape for name, image in images.items()} == {
        "top": (64, 64, 3),
        "hand": (64, 64, 3),
    }


def test_episodes_are_chosen_by_task_and_initial_state():
    assert len(CONFIG.episodes()) == 20
    assert CONFIG.episodes(tasks=[2], inits=2, seed=9) == [Episode(SUITE, 2, 0, 9), Episode(SUITE, 2, 1, 9)]
    assert CONFIG.episodes(tasks=[1], inits=[4]) == [Episode(SUITE, 1, 4)]
    with pytest.raises(ValueError, match="choose from 0 to 3"):
        CONFIG.episodes(tasks=[4])
    with pytest.raises(ValueError, match="choose from 0 to 4"):
        CONFIG.episodes(inits=6)
    assert CONFIG.make().contract == CONFIG.contract() and len(CONFIG.task_names()) == 4
