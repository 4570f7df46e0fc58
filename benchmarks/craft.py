"""The voxel world's speed: frames a second, steps a second with and without pictures."""

from __future__ import annotations

import statistics
import time
from typing import Any, NamedTuple

import numpy as np
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


@checked
class CraftBenchConfig:
    """What is timed, in processor seconds of one core: other work on the machine does not count.

    Args:
        sizes: (height, width) of the pictures.
        views: different views drawn at each size, from an episode of random play.
        steps: of the environment.
        init: stored world of the episode.
    """

    sizes: tuple[tuple[Count, Count], ...] = ((64, 64), (128, 128), (224, 384), (360, 640))
    views: Count = 60
    steps: Count = 600
    init: Natural = 0

    def make(self) -> CraftBench:
        """The bench, its episode played."""
        return CraftBench(self)


class View(NamedTuple):
    """From where and where to, as in `render`."""

    eye: np.ndarray
    pitch: float
    yaw: float


class CraftBench:
    """`run()` gives the numbers, `table(numbers)` shows them."""

    def __init__(self, config: CraftBenchConfig):
        if config.views < 1 or config.steps < 1:
            raise ValueError(f"craft.views and craft.steps must be at least 1, got {config}")
        self.config = config
        self.actions = _random_play(config)
        self.grid, self.views = _views_of(config, self.actions)

    def run(self) -> dict[str, Any]:
        """Frames and steps a second."""
        report: dict[str, Any] = {"frames": {}, "steps": {"without pictures": self._step_rate(look=False)}}
        for height, width in self.config.sizes:
            report["frames"][f"{height}x{width}"] = self._frame_rate((height, width))
        for size in self.config.sizes[:2]:
            report["steps"]["with pictures, {}x{}".format(*size)] = self._step_rate(True, size)
        return report

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        table = Table(title="voxel world on one core, processor time")
        table.add_column("")
        table.add_column("a second", justify="right")
        for kind in ("frames", "steps"):
            for name, rate in report[kind].items():
                table.add_row(f"{kind} {name}", f"{rate:,.0f}")
        return table

    def _frame_rate(self, size: tuple[int, int]) -> float:
        image = np.empty((*size, 3), np.uint8)
        scenes = [
            (self.grid, atlas(), view.eye, *view_plane(size, view.pitch, view.yaw), 1.0, image)
            for view in self.views
        ]
        draw(*scenes[0])  # compiles
        rates = []
        for _ in range(ROUNDS):
            began = time.process_time()
            for scene in scenes:
                draw(*scene)
            rates.append(len(scenes) / (time.process_time() - began))
        return statistics.median(rates)

    def _step_rate(self, look: bool, size: tuple[int, int] = (64, 64)) -> float:
        env = _begun(CraftConfig(size=(int(size[0]), int(size[1]))), self.config.init)
        env.observe(images=look)
        began = time.process_time()
        for action in self.actions:
            env.advance(action)
            env.observe(images=look)
        return len(self.actions) / (time.process_time() - began)


def _begun(config: CraftConfig, init: int) -> Craft:
    env = config.make()
    env.begin(config.episodes([0], [init])[0])
    return env


def _random_play(config: CraftBenchConfig) -> np.ndarray:
    """Actions of a player who does as he likes, float32 [steps, 25]."""
    episode = CraftConfig().episodes([0], [config.init])[0]
    agent = ExplorerConfig(chunk=config.steps).make()
    _, [plan] = agent.act([agent.begin(episode)], [{}], [episode.rng("decision", 0)])
    return plan.actions


def _views_of(config: CraftBenchConfig, actions: np.ndarray) -> tuple[np.ndarray, list[View]]:
    """The blocks after an episode, and views at even distances in it."""
    env, views = _begun(CraftConfig(), config.init), []
    for number in range(config.views * max(1, len(actions) // config.views)):
        if number % max(1, len(actions) // config.views) == 0:
            body = env.game.body
            views.append(View(body.eye.copy(), body.pitch, body.yaw))
        env.advance(actions[number % len(actions)])
    return env.game.grid, views
