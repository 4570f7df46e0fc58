"""The conformance checks pass what keeps the contract and catch what breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from conformance import check_agent, check_determinism, check_env

from playloop.agents.random import RandomAgentConfig
from playloop.envs.toy import ToyReach, ToyReachConfig


def test_toy_conforms():
    check_env(ToyReachConfig().make)


def test_random_agent_conforms():
    check_agent(RandomAgentConfig().make, ToyReachConfig().make)


class Drifting(ToyReach):
    """Keeps something of the episode before: its wind."""

    def begin(self, episode):
        before = getattr(self, "wind", np.zeros(2))
        super().begin(episode)
        self.wind = self.wind + 0.1 * before


class Disturbed(ToyReach):
    """Moves when it is looked at."""

    def observe(self, images=True):
        if images:
            self.position = self.position + 1e-6
        return super().observe(images)


class Mislabelled(ToyReach):
    """Declares a camera that it does not show."""

    def observe(self, images=True):
        observation = super().observe(images)
        observation.get("images", {}).pop("hand", None)
        return observation


@pytest.mark.parametrize("broken", [Drifting, Disturbed, Mislabelled])
def test_broken_environments_are_caught(broken):
    with pytest.raises(AssertionError):
        check_env(broken)


@pytest.mark.parametrize(
    ("broken", "complaint"), [(Drifting, "differs after another one"), (Disturbed, "looking changes")]
)
def test_determinism_names_what_is_wrong(broken, complaint):
    first, *_, last = broken().episodes()
    with pytest.raises(AssertionError, match=complaint):
        check_determinism(broken(), first, last, steps=5)


class Chatty:
    """Lets the number of rows change what a row decides."""

    def __new__(cls):
        agent = RandomAgentConfig().make()
        plain = agent.act

        def act(carries, observations, rngs):
            carries, plans = plain(carries, observations, rngs)
            for plan in plans:
                plan.actions = plan.actions + np.float32(0.01 * len(rngs))
            return carries, plans

        agent.act = act
        return agent


def test_rows_that_mind_their_neighbours_are_caught():
    with pytest.raises(AssertionError, match="alone differs"):
        check_agent(Chatty, ToyReachConfig().make)
