"""A control arm: somebody without skill on the same episodes, to see what a suite gives to anybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from playloop.agents.base import Agent
from playloop.agents.hold import HoldAgentConfig
from playloop.agents.random import RandomAgentConfig
from playloop.agents.replay import ReplayAgent, ReplayAgentConfig
from playloop.core.episode import FRESH, Episode
from playloop.core.results import EpisodeResult
from playloop.core.statistics import count_pairs
from playloop.envs.config import EnvConfig
from playloop.rollouts.again import ActionRecorder, Count
from playloop.rollouts.driver import Driver
from playloop.rollouts.progress import ProgressBar
from playloop.rollouts.selection import by_task
from playloop.rollouts.store import EpisodeStore
from playloop.rollouts.summary import difference_of, rate, rates_by_task

MEANINGS = {
    "random": "uniformly random actions",
    "hold": "no movement and no key",
    "replay": "the agent's own actions from another initial state of the task, repeated without looking",
}
"""Control → what it does."""


def arm_folder(out: Path, name: str) -> Path:
    """Where a control's episodes are, within the evaluation's folder; an evaluation itself for `compare`."""
    return out / f"control-{name}"


def other_start(episode: Episode, env: EnvConfig) -> Episode:
    """The episode whose actions stand in: the neighbour's initial state, 0 and 1 for each other, 2 and 3, ….

    So it depends on nothing that else is run.

    Raises:
        ValueError: the task has no other initial state.
    """
    if episode.init != FRESH:
        for init in (episode.init ^ 1, episode.init - 1):
            try:
                [found] = env.episodes(tasks=[episode.task], inits=[init], seed=episode.seed)
            except ValueError:
                continue
            return found
    raise ValueError(
        f"control=replay takes actions from another initial state, and {episode.key} has none; choose "
        "control=hold or control=random"
    )


class ElsewhereAgent(ReplayAgent):
    """Repeats the actions of `other_start`, without looking."""

    def __init__(self, folder: Path, env: EnvConfig):
        super().__init__(ReplayAgentConfig(str(folder)))
        self.env, self.name = env, "replay"

    def begin(self, episode: Episode) -> np.ndarray:
        return super().begin(other_start(episode, self.env))


@dataclass
class ControlArm:
    """One control of an evaluation.

    Args:
        name: of `MEANINGS`.
        out: folder of the evaluation.
        env: settings of the environment.
        episodes: of the evaluation.
    """

    name: str
    out: Path
    env: EnvConfig
    episodes: Sequence[Episode]

    def __post_init__(self) -> None:
        self.folder = arm_folder(self.out, self.name)
        self.donors = [other_start(e, self.env) for e in self.episodes] if self.name == "replay" else []
        self.actions = ActionRecorder(self.folder / "actions", self.donors)

    def run(self, driver: Driver, agent: Agent, identity: dict[str, Any], console: Console) -> bool:
        """Run what is missing; whether something was. `driver` has the evaluation's settings and `agent` is
        who is judged by it.
        """
        store = EpisodeStore(self.folder, identity | {"control": self.name})
        try:
            done = store.done()
            missing = [episode for episode in self.episodes if episode not in done]
            if not missing:
                return False
            acting = self._agent(driver, agent, console)
            earlier = [result for result in store.results().values() if result.episode in done]
            driver.callbacks = [store, ProgressBar(earlier, console, f"control={self.name}:")]
            driver.run(acting, missing, done=len(self.episodes) - len(missing))
            return True
        finally:
            store.withdraw()
            store.close()

    def _agent(self, driver: Driver, agent: Agent, console: Console) -> Agent:
        if self.name == "random":
            return RandomAgentConfig().make()
        if self.name == "hold":
            return HoldAgentConfig().make()
        # Those of episodes that were run before they were to be kept, or that belong to another shard.
        lacking = [e for e in dict.fromkeys(self.donors) if not self.actions.path(e).is_file()]
        if lacking:
            driver.callbacks = [self.actions, Count("actions to repeat", console)]
            driver.run(agent, lacking)
        self.actions.folder.mkdir(parents=True, exist_ok=True)
        return ElsewhereAgent(self.actions.folder, self.env)


def summarize_control(
    name: str,
    control: dict[Episode, EpisodeResult],
    results: dict[Episode, EpisodeResult],
    episodes: Sequence[Episode],
    partial: Sequence[str],
) -> dict[str, Any]:
    """A control's rates on these episodes, and the paired difference of the agent's from them."""
    found = [control[episode] for episode in episodes if episode in control]
    outcomes: dict[Episode, tuple[bool, bool]] = {}
    for result in found:
        own = results.get(result.episode)
        if result.error is None and own is not None and own.error is None:
            outcomes[result.episode] = (own.success, result.success)
    tasks = by_task(sorted(episodes))
    return {
        "control": name,
        "overall": rate(found, partial),
        "difference": difference_of(count_pairs(outcomes.values())),
        "tasks": [
            rates | {"difference": difference_of(count_pairs(outcomes[e] for e in of_task if e in outcomes))}
            for rates, of_task in zip(rates_by_task(found, list(tasks), partial), tasks.values(), strict=True)
        ],
    }
