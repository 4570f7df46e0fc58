"""The lander keeps what Playloop asks of an environment, an agent and a policy."""

from __future__ import annotations

import numpy as np
import pytest
from playloop_lander.env import Lander, LanderConfig
from playloop_lander.moon import new_ground
from playloop_lander.pilots import Eyes, LanderExpertConfig

from playloop.agents.policy import PolicyAgent
from playloop.rollouts.driver import Driver
from playloop.testing import check_agent, check_env, check_env_config, check_policy


@pytest.mark.parametrize("config", [LanderConfig(), LanderConfig(wind=0.8, fuel=9.0)])
def test_the_environment_conforms(config):
    check_env_config(config)
    check_env(config.make, steps=40, moves="craft", tasks=[0, 1, 2])


def test_the_pilots_conform():
    check_agent(LanderExpertConfig().make, Lander)
    check_policy(Eyes, instruction="land on the green pad")
    check_agent(lambda: PolicyAgent(Eyes()), Lander)


@pytest.mark.parametrize("pilot", [LanderExpertConfig().make(), PolicyAgent(Eyes())])
def test_the_pilots_land(pilot):
    config = LanderConfig(inits=5)
    results = Driver(config, 0, []).run(pilot, config.episodes())
    assert [result.success for result in results] == [True] * 15


def test_a_fall_is_no_landing():
    env = Lander()
    env.begin(env.episodes()[0])
    for _ in range(env.horizon):
        outcome = env.advance(np.zeros(2, np.float32))
        if outcome.terminated:
            break
    assert outcome.terminated and not outcome.success and not outcome.info["safe"]


def test_the_eyes_see_where_the_pad_is():
    env = Lander()
    for episode in env.episodes():
        env.begin(episode)
        assert np.abs(Eyes().find(env.observe()) - env.privileged()["pad"]).max() < 0.6


def test_pads_do_not_overlap():
    for seed in range(50):
        pads = sorted(pad[0] for pad in new_ground(np.random.default_rng(seed)).pads.values())
        assert min(np.diff(pads)) > 6
