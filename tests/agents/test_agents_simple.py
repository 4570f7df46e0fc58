"""The random, the still and the replaying agent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from playloop.agents.hold import HoldAgentConfig
from playloop.agents.random import RandomAgentConfig
from playloop.agents.replay import ReplayAgentConfig
from playloop.core.robots import bridge_contract, fractal_contract
from playloop.envs.craft.env import CraftConfig
from playloop.envs.robosuite import RobosuiteConfig
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.driver import Driver

CONFIG = ToyReachConfig(tasks=2, inits=2)
EPISODES = CONFIG.episodes(seed=4)


class Actions(Callback):
    def __init__(self):
        self.actions, self.states = {}, {}

    def on_segment(self, episode, segment):
        self.actions.setdefault(episode.key, []).append(segment.actions)
        self.states.setdefault(episode.key, []).append(segment.states)

    def joined(self, name):
        return {key: np.concatenate(parts) for key, parts in getattr(self, name).items()}


def play(agent):
    actions = Actions()
    results = Driver(CONFIG, 0, [actions]).run(agent, EPISODES)
    return actions.joined("actions"), actions.joined("states"), results


def test_random_actions_fill_the_bounds_and_follow_the_generator():
    agent = RandomAgentConfig(low=-0.5, high=0.25, chunk=500).make()
    agent.prepare(CONFIG.contract())
    rngs = [episode.rng("decision", 0) for episode in EPISODES[:2]]
    _, plans = agent.act([None, None], [{}, {}], rngs)
    _, alone = agent.act([None], [{}], [EPISODES[1].rng("decision", 0)])
    assert np.array_equal(plans[1].actions, alone[0].actions)
    assert plans[0].actions.shape == (500, 2) and plans[0].actions.dtype == np.float32
    assert -0.5 <= plans[0].actions.min() < -0.49 and 0.24 < plans[0].actions.max() <= 0.25
    with pytest.raises(ValueError, match="below"):
        RandomAgentConfig(low=1.0, high=1.0).make()


@pytest.mark.parametrize(
    ("contract", "gripper"),
    [
        (RobosuiteConfig().contract(), -1.0),
        (bridge_contract("any", "standard"), 1.0),
        (fractal_contract("any", "standard"), 0.0),
        (replace(RobosuiteConfig().contract(), gripper="opening"), 1.0),
        (replace(RobosuiteConfig().contract(), gripper="a claw of my own"), 0.0),
        (CraftConfig().contract(), None),
        (CONFIG.contract(), None),
    ],
)
def test_who_keeps_still_moves_nothing_and_leaves_the_gripper_open(contract, gripper):
    agent = HoldAgentConfig(chunk=3).make()
    agent.prepare(contract)
    _, [plan] = agent.act([None], [{}], [np.random.default_rng(0)])
    assert plan.actions.shape == (3, len(contract.action_names)) and plan.actions.dtype == np.float32
    moves = plan.actions if gripper is None else plan.actions[:, :-1]
    assert not moves.any() and (gripper is None or (plan.actions[:, -1] == gripper).all())


def test_a_replay_gives_the_same_states(tmp_path):
    actions, states, results = play(RandomAgentConfig().make())
    for key, recorded in actions.items():
        np.savez(tmp_path / f"{key}.npz", actions=recorded)
    again, same, replayed = play(ReplayAgentConfig(str(tmp_path), chunk=3).make())
    assert [(r.success, r.steps) for r in results] == [(r.success, r.steps) for r in replayed]
    assert all(np.array_equal(actions[key], again[key]) for key in actions)
    assert all(np.array_equal(states[key], same[key]) for key in states)


def test_the_last_action_is_repeated_after_the_record(tmp_path):
    np.savez(tmp_path / f"{EPISODES[0].key}.npz", actions=np.arange(10, dtype=np.float32).reshape(5, 2))
    agent = ReplayAgentConfig(str(tmp_path), chunk=2).make()
    agent.prepare(CONFIG.contract())
    carry, seen = agent.begin(EPISODES[0]), []
    for _ in range(4):
        [carry], [plan] = agent.act([carry], [{}], [np.random.default_rng()])
        seen.append(plan.actions[:, 0].tolist())
    assert seen == [[0, 2], [4, 6], [8], [8]]


def test_what_was_not_recorded_cannot_be_replayed(tmp_path):
    with pytest.raises(FileNotFoundError, match="give agent"):
        ReplayAgentConfig(str(tmp_path / "nothing")).make()
    agent = ReplayAgentConfig(str(tmp_path)).make()
    with pytest.raises(ValueError, match="no actions are recorded"):
        agent.begin(EPISODES[0])
    np.savez(tmp_path / f"{EPISODES[0].key}.npz", actions=np.zeros((3, 7), np.float32))
    agent.prepare(CONFIG.contract())
    with pytest.raises(ValueError, match="record again"):
        agent.begin(EPISODES[0])
