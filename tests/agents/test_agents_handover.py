"""A policy begins, the expert finishes: on the real simulator, with the shipped policy."""

from importlib.util import find_spec

import numpy as np
import pytest

from playloop.agents.expert import ExpertConfig
from playloop.agents.explorer import ExplorerConfig
from playloop.agents.handover import HandoverConfig
from playloop.agents.policy import PolicyAgentConfig
from playloop.agents.random import RandomAgentConfig
from playloop.configs.checkpoints import find_checkpoint, find_checkpoints
from playloop.configs.compose import load
from playloop.core.episode import FRESH, Episode
from playloop.core.fields import make
from playloop.envs.craft.env import CraftConfig
from playloop.envs.libero import LiberoConfig
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.driver import Driver

simulated = pytest.mark.skipif(
    find_spec("libero") is None, reason="LIBERO is not installed: pip install 'playloop[libero]'"
)
EPISODE = Episode("libero_object", 8, FRESH, 3)


class Watcher(Callback):
    """Keeps the segments and which observations carried images."""

    def __init__(self):
        self.segments = []

    def wants(self, episode):
        return Wants()

    def on_segment(self, episode, segment):
        self.segments.append(segment)


@simulated
def test_the_policys_steps_are_marked_and_the_expert_finishes():
    agent = HandoverConfig(PolicyAgentConfig(str(find_checkpoint("libero"))), earliest=5, latest=5).make()
    watcher = Watcher()
    driver = Driver(LiberoConfig("libero_object", success_steps=10), 1, [watcher])
    (result,) = driver.run(agent, [EPISODE])
    assert result.agent == "handover from policy libero"
    marks = np.concatenate([np.full(len(s), s.plan_info["expert"]) for s in watcher.segments])
    assert result.success, result
    assert marks[:40].max() == 0 and marks[40:].min() == 1 and len(marks) > 80


RANDOM, EXPLORER = RandomAgentConfig(chunk=2), ExplorerConfig(chunk=2)


@pytest.mark.parametrize(
    ("config", "task", "first"), [(ToyReachConfig(), 0, RANDOM), (CraftConfig(), 2, EXPLORER)]
)
def test_the_expert_of_whatever_environment_finishes_what_anyone_began(config, task, first):
    agent, watcher = HandoverConfig(first, earliest=2, latest=2).make(), Watcher()
    episode = config.fresh_episode(task, 1)
    (result,) = Driver(config, 0, [watcher]).run(agent, [episode])
    marks = np.concatenate([np.full(len(s), s.plan_info["expert"]) for s in watcher.segments])
    assert result.success and marks[:4].max() == 0 and marks[4:].min() == 1 and len(marks) > 5


def test_the_moment_is_checked_and_the_configuration_composes():
    with pytest.raises(ValueError, match=r"agent\.earliest=4"):
        HandoverConfig(PolicyAgentConfig("x"), earliest=4, latest=3)
    config = load("record", ["agent=handover", "agent.latest=7", "agent.expert.misses=0.5"])
    find_checkpoints(config.agent, LiberoConfig().contract())
    settings = make(config.agent)
    assert settings.latest == 7 and settings.expert == ExpertConfig(misses=0.5)
    assert settings.policy.checkpoint == str(find_checkpoint("libero"))


def test_what_an_expert_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"^agent.hover: the expert of toy has no settings; leave it out$"):
        ExpertConfig(hover=3.0).make().prepare(ToyReachConfig().contract())
