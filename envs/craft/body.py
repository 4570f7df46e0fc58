"""Bodies, a player's and a lying item's: velocity, and motion against blocks. Minecraft's own numbers."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from playloop.envs.craft.blocks import ID, SOLID
from playloop.envs.craft.exact import heading

WIDTH, HEIGHT = 0.6, 1.8
"""Size of the body's box, in blocks; its position is the middle of the underside."""
EYE_HEIGHT, SNEAKING_EYE_HEIGHT = 1.62, 1.27
GRAVITY, FALL_DRAG = 0.08, 0.98
JUMP, SWIM = 0.42, 0.04
GROUND_DRAG, AIR_DRAG, WATER_DRAG = 0.546, 0.91, 0.8
WALK, AIR, WATER = 0.098, 0.0196, 0.0196
"""What a held key adds to the velocity, in blocks a tick each tick."""
SPRINT, SNEAK = 1.3, 0.3
"""Factors of it."""
SPRINT_JUMP = 0.2
TOUCH = 1e-7
"""Boxes that overlap by less only touch."""
DROP_SIZE = 0.25
"""Side of a lying item, in blocks."""
DROP_GRAVITY, DROP_DRAG, DROP_GROUND_DRAG = 0.04, 0.98, 0.588
LIFETIME = 6000
"""Ticks after which a lying item is gone."""
BESIDE, ABOVE = 1.0, 0.5
"""How far beside and above the body items are picked up."""


@dataclass
class Body:
    """Where a body is and where it looks.

    Args:
        position: float64 [3] (east, up, south), of the underside's middle.
        velocity: float64 [3], blocks a tick.
        yaw: degrees, clockwise from south.
        pitch: degrees, downwards positive.
        on_ground: whether the last tick ended on a block.
        sneaking: whether the eye is lowered.
        sprinting: whether the last tick was a sprint's.
    """

    position: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    yaw: float = 0.0
    pitch: float = 0.0
    on_ground: bool = False
    sneaking: bool = False
    sprinting: bool = False

    @property
    def eye(self) -> np.ndarray:
        """float64 [3]."""
        height = SNEAKING_EYE_HEIGHT if self.sneaking else EYE_HEIGHT
        return self.position + np.array([0.0, height, 0.0])

    def turn(self, pitch: float, yaw: float) -> None:
        """Turn the view by degrees; it stops straight up and straight down."""
        self.pitch = min(max(self.pitch + pitch, -90.0), 90.0)
        self.yaw = (self.yaw + yaw + 180.0) % 360.0 - 180.0

    def tick(self, grid: np.ndarray, held: Collection[str]) -> None:
        """A twentieth of a second under the keys that are held, by name; opposite ones cancel out."""
        x, y, z = self.position
        forward, right = ("forward" in held) - ("back" in held), ("right" in held) - ("left" in held)
        swims = grid_at(grid, x, y + 0.4, z) == ID["water"]
        self.sneaking = "sneak" in held
        self.sprinting = "sprint" in held and forward > 0 and not self.sneaking
        if "jump" in held:
            self._jump(swims)
        self._push(forward, right, swims)
        drag = WATER_DRAG if swims else GROUND_DRAG if self.on_ground else AIR_DRAG
        if self.sneaking and self.on_ground:
            self._stay_on_edge(grid)
        self.on_ground = slide(grid, self.position, self.velocity, WIDTH, HEIGHT)
        self.velocity *= [drag, WATER_DRAG if swims else 1.0, drag]
        self.velocity[1] -= 0.02 if swims else GRAVITY
        self.velocity[1] *= 1.0 if swims else FALL_DRAG

    def _jump(self, swims: bool) -> None:
        if swims:
            self.velocity[1] += SWIM
        elif self.on_ground:
            self.velocity[1] = JUMP
            if self.sprinting:
                sine, cosine = heading(self.yaw)
                self.velocity += [-sine * SPRINT_JUMP, 0.0, cosine * SPRINT_JUMP]

    def _push(self, forward: int, right: int, swims: bool) -> None:
        power = WATER if swims else WALK if self.on_ground else AIR
        power *= SPRINT if self.sprinting else SNEAK if self.sneaking else 1.0
        if forward and right:
            power *= math.sqrt(0.5)
        sine, cosine = heading(self.yaw)
        east, south = -sine * forward - cosine * right, cosine * forward - sine * right
        self.velocity += [east * power, 0.0, south * power]

    def _stay_on_edge(self, grid: np.ndarray) -> None:
        """Whoever sneaks does not step where there is nothing to stand on."""
        for axis in (0, 2):
            while self.velocity[axis] and not self._stands_after(grid, axis):
                step = self.velocity[axis]
                self.velocity[axis] = 0.0 if abs(step) <= 0.05 else step - math.copysign(0.05, step)

    def _stands_after(self, grid: np.ndarray, axis: int) -> bool:
        low, high = box_at(self.position, WIDTH, HEIGHT)
        low[axis] += self.velocity[axis]
        high[axis] += self.velocity[axis]
        return free_way(grid, low, high, 1, -0.6) != -0.6


@dataclass
class Drop:
    """An item that lies about.

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
        self.velocity[1] -= DROP_GRAVITY
        lies = slide(grid, self.position, self.velocity, DROP_SIZE, DROP_SIZE)
        drag = DROP_GROUND_DRAG if lies else DROP_DRAG
        self.velocity *= [drag, DROP_DRAG, drag]

    def near(self, body: np.ndarray) -> bool:
        """Whether a body at this position float64 [3] picks it up."""
        span = WIDTH / 2 + BESIDE
        dx, dy, dz = self.position - body
        return abs(dx) <= span and abs(dz) <= span and -ABOVE - DROP_SIZE <= dy <= HEIGHT + ABOVE

    @property
    def box(self) -> np.ndarray:
        """Lower and upper corner, float64 [6]."""
        return np.concatenate(box_at(self.position, DROP_SIZE, DROP_SIZE))


def box_at(position: np.ndarray, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner, each [3], of a box that stands at a position."""
    half = width / 2
    return position - np.array([half, 0.0, half]), position + np.array([half, height, half])


def slide(grid: np.ndarray, position: np.ndarray, velocity: np.ndarray, width: float, height: float) -> bool:
    """Move a box by its velocity, both changed in place, as far as blocks let it; whether it came to lie."""
    wanted = velocity.copy()
    for axis in (1, 0, 2):
        moved = free_way(grid, *box_at(position, width, height), axis, wanted[axis])
        position[axis] += moved
        if moved != wanted[axis]:
            velocity[axis] = 0.0
    return wanted[1] < 0 and velocity[1] == 0.0


def grid_at(grid: np.ndarray, x: float, y: float, z: float) -> int:
    """The block in a cell; stone beside and under the world, air above it."""
    cell = math.floor(x), math.floor(y), math.floor(z)
    if cell[1] >= grid.shape[1]:
        return ID["air"]
    inside = 0 <= cell[0] < grid.shape[0] and cell[1] >= 0 and 0 <= cell[2] < grid.shape[2]
    return int(grid[cell]) if inside else ID["stone"]


def free_way(grid: np.ndarray, low: np.ndarray, high: np.ndarray, axis: int, way: float) -> float:
    """How much of `way` along `axis` a box from `low` to `high` can go before a solid block."""
    if way == 0:
        return 0.0
    others = [other for other in range(3) if other != axis]
    spans = [range(math.floor(low[other] + TOUCH), math.ceil(high[other] - TOUCH)) for other in others]
    front = high[axis] if way > 0 else low[axis]
    for layer in _layers(front, way):
        for a in spans[0]:
            for b in spans[1]:
                cell = [0, 0, 0]
                cell[axis], cell[others[0]], cell[others[1]] = layer, a, b
                if SOLID[grid_at(grid, *cell)]:
                    return layer - front if way > 0 else layer + 1 - front
    return way


def _layers(front: float, way: float) -> range:
    """The cells that a face enters on its way, in order."""
    if way > 0:
        return range(math.ceil(front - TOUCH), math.ceil(front + way))
    return range(math.floor(front + TOUCH) - 1, math.floor(front + way) - 1, -1)
