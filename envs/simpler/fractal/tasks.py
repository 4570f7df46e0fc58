"""What the five tasks share: how they begin, and how one asks whether they are done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from playloop.envs.simpler.fractal.protocol import Setup
from playloop.envs.simpler.fractal.scene import Kitchen


class Task(ABC):
    """One episode's task.

    Args:
        setup: of the episode.
        rng: the episode's, for what neither layout nor appearance fixes.
    """

    contact_offset = 0.02
    """Metres; see `Kitchen`."""

    def __init__(self, setup: Setup, rng: np.random.Generator) -> None:
        self.setup, self.layout, self.rng = setup, setup.layout, rng

    @abstractmethod
    def furnish(self, kitchen: Kitchen) -> None:
        """Add what the task needs and let it come to rest; the robot comes afterwards."""

    def begin(self) -> None:  # noqa: B027 (most tasks have nothing to do here)
        """Last preparations, the robot in place."""

    @abstractmethod
    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        """After so many actions: whether the task's rule holds, and the published partial measures."""

    @abstractmethod
    def truth(self) -> dict[str, np.ndarray]:
        """What experts may know beyond the poses and boxes of all objects."""
