"""The voxel world's speed: frames a second, steps a second with and without pictures."""

from __future__ import annotations

import statistics
import time
from typing import Annotated, Any

import numpy as np
from annotated_types import MinLen
from rich.table import Table

from playloop.agents.explorer import ExplorerConfig
from playloop.core.annotations import Count, Natural
from playloop.core.checked import checked
from playloop.envs.craft.env import Craft, CraftConfig
from playloop.envs.craft.rays import draw
from playloop.envs.craft.render import view_plane
from playloop.envs.craft.textures import atlas

ROUNDS = 5
"""The median of so many rounds is reported."""
Size = tuple[Count, Count]
View = tuple[np.ndarray, float, float]
"""From where and where to, as in `render`: eye, pitch and yaw."""


@checked
class CraftBench:
    """Pictures and steps in processor seconds of one core: other work on the machine does not count.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        sizes: (height, width) of the pictures.
        views: different views drawn at each size, from an episode of random play.
        steps: of the environment.
        init: stored world of the episode.
    """

    sizes: Annotated[tuple[Size, ...], MinLen(1)] = ((64, 64), (128, 128), (224, 384), (360, 640))
    views: Count = 60
    steps: Count = 600
    init: Natural = 0

    def run(self) -> dict[str, Any]:
        """Frames and steps a second in an episode of random play."""
        actions = self._random_play()
        grid, views = self._views_of(actions)
        sized = [("{}x{}".format(*size), size) for size in self.sizes]
        steps = {"without pictures": self._step_rate(actions, look=False)}
        return {
            "frames": {name: _frame_rate(grid, views, size) for name, size in sized},
            "steps": steps | {f"with pictures, {n}": self._step_rate(actions, True, s) for n, s in sized[:2]},
        }

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        table = Table(title="voxel world on one core, processor time")
        table.add_column("")
        table.add_column("a second", justify="right")
        for kind in ("frames", "steps"):
            for name, rate in report[kind].items():
                table.add_row(f"{kind} {name}", f"{rate:,.0f}")
        return table

    def _step_rate(self, actions: np.ndarray, look: bool, size: tuple[int, int] = (64, 64)) -> float:
        env = self._begun(size)
        env.observe(images=look)
        began = time.process_time()
        for action in actions:
            env.advance(action)
            env.observe(images=look)
        return len(actions) / (time.process_time() - began)

    def _begun(self, size: tuple[int, int]) -> Craft:
        config = CraftConfig(size=size)
        env = config.make()
        env.begin(config.episodes([0], [self.init])[0])
        return env

    def _random_play(self) -> np.ndarray:
        """Actions of a player who does as he likes, float32 [steps, 25]."""
        episode = CraftConfig().episodes([0], [self.init])[0]
        agent = ExplorerConfig(chunk=self.steps).make()
        _, [plan] = agent.act([agent.begin(episode)], [{}], [episode.rng("decision", 0)])
        return plan.actions

    def _views_of(self, actions: np.ndarray) -> tuple[np.ndarray, list[View]]:
        """The blocks after an episode, and views at even distances in it."""
        env, views = self._begun(CraftConfig.size), []
        every = max(1, len(actions) // self.views)
        for number in range(self.views * every):
            if number % every == 0:
                body = env.game.body
                views.append((body.eye.copy(), body.pitch, body.yaw))
            env.advance(actions[number % len(actions)])
        return env.game.grid, views


def _frame_rate(grid: np.ndarray, views: list[View], size: tuple[int, int]) -> float:
    image = np.empty((*size, 3), np.uint8)
    scenes = [(grid, atlas(), eye, *view_plane(size, pitch, yaw), 1.0, image) for eye, pitch, yaw in views]
    draw(*scenes[0])  # compiles
    rates = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for scene in scenes:
            draw(*scene)
        rates.append(len(scenes) / (time.process_time() - began))
    return statistics.median(rates)
