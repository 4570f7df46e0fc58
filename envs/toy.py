"""A point that reaches for coloured squares: an environment in milliseconds, for tests and as an example."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from playloop.core.annotations import Count, Magnitude
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.conventions import Convention
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.outcome import Outcome

COLORS = {"red": (214, 64, 69), "green": (67, 150, 90), "blue": (58, 104, 196), "yellow": (228, 178, 50)}
SUITE = "toy_reach"
SPEED = 0.05
"""Length of a whole action, in widths of the table a step."""


@kind("toy-fault")
@checked(frozen=True)
class ToyFault:
    """A breakdown on purpose, to test what a driver does about it.

    Args:
        episode: key of the episode that breaks down.
        way: "crash" (the process ends), "raise" (an exception) or "hang" (no answer).
        counter: a file with the number of breakdowns still to come; it outlives the process.
    """

    episode: str
    way: Literal["crash", "raise", "hang"]
    counter: str

    def strike(self, episode: Episode) -> None:
        """Break down if this is the episode and breakdowns are left."""
        if episode.key != self.episode or (left := int(Path(self.counter).read_text())) <= 0:
            return
        Path(self.counter).write_text(str(left - 1))
        if self.way == "crash":
            os._exit(13)
        if self.way == "hang":
            time.sleep(3600)
        raise RuntimeError("the toy broke down, as it was told to")


@kind("toy")
@checked(frozen=True)
class ToyReachConfig(EnvConfig):
    """Settings of `ToyReach`.

    Args:
        tasks: how many of the four colours have a task.
        inits: stored initial states a task.
        horizon: most actions an episode.
        fault: a breakdown on purpose.
        step_seconds: time that a step pretends to cost.
    """

    suite = SUITE
    tasks: Annotated[int, Ge(1), Le(len(COLORS))] = 4
    inits: Count = 5
    horizon: Count = 40
    fault: ToyFault | None = None
    step_seconds: Magnitude = 0.0

    def make(self) -> ToyReach:
        return ToyReach(self)

    def title(self) -> str:
        return "toy table"

    def contract(self) -> Contract:
        return Contract(
            family="toy",
            action=Convention("planar-velocity", {"scale": SPEED}),
            action_names=("x", "y"),
            control_hz=10.0,
            cameras={"top": (64, 64), "hand": (64, 64)},
            image="upright",
            state_names=("x", "y"),
            success=Convention("within", {"distance": 0.06}),
        )

    def task_names(self) -> list[str]:
        return [f"reach the {color} square" for color in list(COLORS)[: self.tasks]]


class ToyReach(PlayEnv):
    """Four coloured squares on a table and a point that is to reach one of them against a steady wind.

    `renders` counts the observations drawn since the episode began, so that a test can prove that nothing is
    rendered in vain.
    """

    def __init__(self, config: ToyReachConfig | None = None, render_mode: str | None = None):
        self.config = config or ToyReachConfig()
        super().__init__(self.config.contract(), self.config.horizon, render_mode)
        self.renders = 0

    def begin(self, episode: Episode) -> None:
        self.episode, self.steps, self.renders = episode, 0, 0
        self.instruction = self.config.task_names()[self.config.task_of(episode)]
        rng = episode.unseeded().rng("placement")  # of the run is only the wind
        corners = np.array([[0.2, 0.2], [0.8, 0.2], [0.2, 0.8], [0.8, 0.8]])
        self.squares = rng.permutation(corners) + rng.uniform(-0.1, 0.1, (4, 2))
        self.position = rng.uniform(0.4, 0.6, 2)
        self.wind = episode.rng("wind").uniform(-0.01, 0.01, 2)

    def advance(self, action: np.ndarray) -> Outcome:
        if self.config.fault and self.steps == 2:
            self.config.fault.strike(self.episode)
        if self.config.step_seconds:
            time.sleep(self.config.step_seconds)
        self.steps += 1
        velocity = SPEED * np.clip(np.asarray(action, np.float64), -1.0, 1.0) + self.wind
        self.position = np.clip(self.position + velocity, 0.0, 1.0)
        distance = float(np.linalg.norm(self.position - self.squares[self.episode.task]))
        success = distance < 0.06
        truncated = not success and self.steps >= self.horizon
        return Outcome(float(success), success, success, truncated, {"renders": self.renders})

    def observe(self, images: bool = True) -> dict[str, Any]:
        seen: dict[str, Any] = {"state": self.position.astype(np.float32), "instruction": self.instruction}
        if images:
            self.renders += 1
            top, hand = self._draw(np.zeros(2), 1.0), self._draw(self.position - 0.25, 0.5)
            seen["images"] = {"top": top, "hand": hand}
        return seen

    def privileged(self) -> dict[str, np.ndarray]:
        return {"target": self.squares[self.episode.task].copy()}

    def snapshot(self) -> np.ndarray:
        return np.array([*self.position, self.steps], np.float64)

    def restore(self, snapshot: np.ndarray) -> None:
        self.position, self.steps = snapshot[:2].copy(), int(snapshot[2])

    def _draw(self, corner: np.ndarray, width: float) -> np.ndarray:
        """The part of the table whose upper left corner and width are given, uint8 [64, 64, 3]."""
        centres = (np.arange(64) + 0.5) / 64 * width
        x, y = np.meshgrid(corner[0] + centres, corner[1] + centres)  # each [64, 64]
        on_table = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
        image = np.full((64, 64, 3), (70, 74, 82), np.uint8)
        image[on_table] = (236, 232, 224)
        for color, square in zip(COLORS.values(), self.squares, strict=True):
            image[(np.abs(x - square[0]) < 0.06) & (np.abs(y - square[1]) < 0.06)] = color
        image[np.hypot(x - self.position[0], y - self.position[1]) < 0.035] = (24, 26, 30)
        return image
