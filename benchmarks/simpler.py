"""Steps a second in SimplerEnv's Bridge: a picture at every step against one a chunk, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.table import Table

from playloop.core.annotations import Count, Natural
from playloop.core.checked import checked
from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.envs.simpler.bridge import TASKS
from playloop.envs.simpler.config import SimplerConfig
from playloop.envs.simpler.maniskill import make_maniskill

WAYS = ("ManiSkill's own step", "a picture every step", "a picture every chunk", "no pictures")


@checked
class SimplerBench:
    """The same actions from the same layout, with more and with fewer pictures.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        task: number of the Bridge task.
        steps: timed in a round, a whole number of chunks.
        chunk: actions from one picture to the next.
        rounds: of all ways, one after the other; the best of each counts.
    """

    task: Natural = 1
    steps: Count = 56
    chunk: Count = 8
    rounds: Count = 4

    def __post_init__(self) -> None:
        if self.steps % self.chunk:
            raise ValueError(f"simpler.steps={self.steps} must be whole chunks of {self.chunk}")
        moves = np.random.default_rng(0).uniform(-0.02, 0.02, (self.steps, 6))
        self.actions = np.concatenate([moves, np.ones((self.steps, 1))], axis=1).astype(np.float32)

    def run(self) -> dict[str, Any]:
        """Seconds a step of every way; all of them take the same actions from the same layout."""
        ours, theirs = SimplerConfig().make(), make_maniskill(TASKS[self.task].environment)
        plays: tuple[Callable[[], None], ...] = (
            lambda: self._theirs(theirs),
            lambda: self._ours(ours, 1),
            lambda: self._ours(ours, self.chunk),
            lambda: self._ours(ours, 0),
        )
        try:
            seconds = [[self._timed(play) for play in plays] for _ in range(self.rounds + 1)]
        finally:
            ours.close()
            theirs.close()
        best = np.min(seconds[1:], axis=0)  # the first round warms up
        rates = dict(zip(WAYS, (self.steps / best).tolist(), strict=True))
        return {"chunk": self.chunk, "steps_per_second": rates}

    def _timed(self, play: Callable[[], None]) -> float:
        start = time.perf_counter()
        play()
        return time.perf_counter() - start

    def _theirs(self, simulation: Any) -> None:
        import torch

        simulation.reset(seed=0, options={"episode_id": torch.tensor([0])})
        for action in self.actions:
            simulation.step(torch.from_numpy(action)[None])

    def _ours(self, env: PlayEnv, every: int) -> None:
        env.begin(Episode("bridge", self.task, 0))
        for number, action in enumerate(self.actions):
            if every and number % every == 0:
                env.observe()
            env.advance(action)

    @staticmethod
    def table(report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        rates = report["steps_per_second"]
        table = Table(title=f"Bridge, chunks of {report['chunk']}, one process")
        for heading in ("", "steps/s", "times the first"):
            table.add_column(heading, justify="left" if not heading else "right")
        for name, rate in rates.items():
            table.add_row(name, f"{rate:.0f}", f"{rate / rates[WAYS[0]]:.2f}")
        return table
