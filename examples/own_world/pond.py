"""The game: a duck on a pond, steered with Minecraft's W, A, S and D, eats the bread that floats there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.minecraft import action_space, index_of, minerl_contract
from playloop.envs.base import PlayEnv
from playloop.envs.config import EnvConfig
from playloop.envs.outcome import Outcome

SIDE = 32
WATER, BANK, BREAD, DUCK, BEAK = (40, 90, 160), (60, 120, 50), (240, 240, 230), (250, 200, 40), (220, 90, 20)
STEER = {"forward": (-1.0, 0.0), "back": (1.0, 0.0), "left": (0.0, -1.0), "right": (0.0, 1.0)}
"""Key → where it pushes the duck: down and to the right."""


@dataclass
class PondConfig(EnvConfig):
    """A duck on a pond: a game of one's own, with Minecraft's keys so that a world model can learn it.

    Args:
        horizon: actions an episode.
    """

    horizon: int = 60

    suite, inits = "pond", 10

    def make(self) -> Pond:
        return Pond(self)

    def contract(self) -> Contract:
        return minerl_contract(
            (SIDE, SIDE), family="pond", action="minerl-1.0", success="always", restorable=False
        )

    def task_names(self) -> list[str]:
        return ["swim"]


class Pond(PlayEnv):
    """Everything is in units of pixels and steps; nothing is random once an episode has begun."""

    def __init__(self, config: PondConfig):
        super().__init__(config.contract(), config.horizon, action_space=action_space())
        self.config = config

    def begin(self, episode: Episode) -> None:
        rng = episode.rng("pond")
        self.duck, self.speed = rng.uniform(8, SIDE - 8, 2), np.zeros(2)
        self.looks = 1.0
        self.bread = rng.uniform(5, SIDE - 5, (5, 2))
        self.steps = 0

    def advance(self, action: np.ndarray) -> Outcome:
        push = sum(np.array(way) * (action[index_of(key)] > 0.5) for key, way in STEER.items())
        self.speed = 0.7 * self.speed + 0.8 * push
        self.duck = self.duck + self.speed
        for axis in range(2):  # the bank stops it
            if not 5 <= self.duck[axis] <= SIDE - 5:
                self.duck[axis], self.speed[axis] = np.clip(self.duck[axis], 5, SIDE - 5), 0.0
        if abs(self.speed[1]) > 0.1:
            self.looks = float(np.sign(self.speed[1]))
        eaten = np.linalg.norm(self.bread - self.duck, axis=1) < 4
        self.bread = self.bread[~eaten]
        self.steps += 1
        over = self.steps >= self.horizon
        return Outcome(float(eaten.sum()), success=over, terminated=False, truncated=over)

    def observe(self, images: bool = True) -> dict[str, Any]:
        seen: dict[str, Any] = {"state": np.zeros(0, np.float32), "instruction": "swim"}
        return seen | {"images": {"pov": self.draw()}} if images else seen

    def draw(self) -> np.ndarray:
        """The pond from above, uint8 [SIDE, SIDE, 3]."""
        picture = np.full((SIDE, SIDE, 3), WATER, np.uint8)
        picture[:2], picture[-2:], picture[:, :2], picture[:, -2:] = BANK, BANK, BANK, BANK
        for crumb in self.bread:
            disc(picture, crumb, 1.6, BREAD)
        disc(picture, self.duck, 3.6, DUCK)
        disc(picture, self.duck + np.array([0.0, 3.5 * self.looks]), 1.4, BEAK)
        return picture


def disc(picture: np.ndarray, centre: np.ndarray, radius: float, color: tuple[int, int, int]) -> None:
    """Paint a disc into a picture."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    picture[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2] = color
