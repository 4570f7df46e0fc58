"""Items that lie about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from playloop.envs.craft.body import HEIGHT, WIDTH, free_way

SIZE = 0.25
"""Side of a lying item, in blocks."""
GRAVITY, DRAG, GROUND_DRAG = 0.04, 0.98, 0.588
LIFETIME = 6000
"""Ticks after which an item is gone."""
REACH = 1.0, 0.5
"""How far beside and above the body items are picked up."""


@dataclass
class Drop:
    """An item in the world.

    Args:
        item: its number.
        position: float64 [3], of the underside's middle.
        velocity: float64 [3], blocks a tick.
        delay: ticks until it can be picked up.
        age: ticks since it fell.
    """

    item: int
    position: np.ndarray
    velocity: np.ndarray
    delay: int = 10
    age: int = 0

    def tick(self, grid: np.ndarray) -> None:
        """A twentieth of a second."""
        self.age += 1
        self.delay = max(0, self.delay - 1)
        self.velocity[1] -= GRAVITY
        half, wanted = SIZE / 2, self.velocity.copy()
        for axis in (1, 0, 2):
            low = self.position - np.array([half, 0.0, half])
            high = self.position + np.array([half, SIZE, half])
            moved = free_way(grid, low, high, axis, wanted[axis])
            self.position[axis] += moved
            if moved != wanted[axis]:
                self.velocity[axis] = 0.0
        lies = wanted[1] < 0 and self.velocity[1] == 0.0
        self.velocity *= [GROUND_DRAG if lies else DRAG, DRAG, GROUND_DRAG if lies else DRAG]

    def near(self, body: np.ndarray) -> bool:
        """Whether a body at this position float64 [3] picks it up."""
        beside, above = REACH
        span = WIDTH / 2 + beside
        dx, dy, dz = self.position - body
        return abs(dx) <= span and abs(dz) <= span and -above - SIZE <= dy <= HEIGHT + above

    @property
    def box(self) -> np.ndarray:
        """Lower and upper corner, float64 [6]."""
        half = SIZE / 2
        x, y, z = self.position
        return np.array([x - half, y, z - half, x + half, y + SIZE, z + half])
