"""`playloop serve` and `agent=remote` on the two ends of a line: the actions are those of one process."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from playloop.agents.expert import ExpertConfig
from playloop.agents.random import RandomAgentConfig
from playloop.agents.remote.agent import RemoteAgentConfig
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.driver import Driver

CONFIG = ToyReachConfig(tasks=3, inits=2)
EPISODES = CONFIG.episodes(seed=2)


class Actions(Callback):
    def __init__(self):
        self.taken = []

    def on_segment(self, episode, segment):
        self.taken.append((episode, segment.actions))


@pytest.fixture
def served(tmp_path):
    """Serves an agent of the toy: its words → its address."""
    running = []

    def start(*words):
        log = tmp_path / "log"
        command = [sys.executable, "-m", "playloop.cli.main", "serve", "env=toy", "port=0", *words]
        with open(log, "w") as file:
            running.append(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT))
        end = time.monotonic() + 60
        while " at ws://" not in log.read_text():
            assert running[-1].poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        return log.read_text().split(" at ")[1].split()[0]

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


def run(agent, workers):
    memory = Actions()
    results = Driver(CONFIG, workers, [memory]).run(agent, EPISODES)
    ordered = sorted(memory.taken, key=lambda taken: taken[0])  # stable: segments keep their order
    return [(r.success, r.steps, r.error) for r in results], ordered


@pytest.mark.parametrize(
    ("word", "local"), [("random", RandomAgentConfig()), ("expert", ExpertConfig())], ids=["random", "expert"]
)
def test_an_agent_that_is_served_gives_the_actions_of_this_process(served, word, local):
    agent = RemoteAgentConfig(served(f"agent={word}")).make()
    there, here = run(agent, workers=2), run(local.make(), workers=0)
    assert agent.repeatable and there[0] == here[0] and len(there[1]) == len(here[1])
    for (episode, actions), (expected, same) in zip(there[1], here[1], strict=True):
        assert episode == expected and np.array_equal(actions, same)
