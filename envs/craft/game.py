"""The rules of play: what a tick of keys and mouse does to a world. Nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from playloop.core.minecraft import ACTION_SIZE, BUTTONS
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.body import HEIGHT, LIFETIME, WIDTH, Body, Drop, box_at
from playloop.envs.craft.exact import ahead
from playloop.envs.craft.inventory import HOTBAR, Inventory
from playloop.envs.craft.items import FIRST_TOOL, drop_of, harvests, ticks_to_break
from playloop.envs.craft.rays import Aimed, aim

AIR, WATER = ID["air"], ID["water"]
PLACE_EVERY, BREAK_PAUSE, SWING = 4, 5, 6
"""Ticks between blocks placed with the button held, after a block is broken, and of a swing of the hand."""
SPRINT_VIEW = 1.12
"""How much wider one sees when sprinting."""
DAY = 24_000
"""Ticks."""


@dataclass
class Digging:
    """The block that is being broken.

    Args:
        cell: which.
        item: with what.
        ticks: hits so far.
        needed: hits until it breaks.
    """

    cell: tuple[int, int, int]
    item: int
    needed: int
    ticks: int = 0

    @property
    def progress(self) -> float:
        """0 … 1."""
        return self.ticks / self.needed


@dataclass
class Game:
    """A world, a player in it and everything that is going on; a deep copy goes on by itself.

    Args:
        grid: blocks, uint8 [X, Y, Z].
        body: the player's.
        inventory: the player's.
        rng: of the way in which drops fly.
    """

    grid: np.ndarray
    body: Body
    rng: np.random.Generator
    inventory: Inventory = field(default_factory=Inventory)
    drops: list[Drop] = field(default_factory=list)
    digging: Digging | None = None
    ticks: int = 0
    pause: int = 0
    place_wait: int = 0
    swing: int = 0
    view: float = 1.0
    screen_open: bool = False
    held_before: frozenset[str] = frozenset()
    broken: list[int] = field(default_factory=list)
    picked_up: list[int] = field(default_factory=list)

    def tick(self, action: np.ndarray) -> None:
        """A twentieth of a second under an action vector [25] of `playloop.core.minecraft`."""
        if action.shape != (ACTION_SIZE,):
            raise ValueError(f"expected an action vector [{ACTION_SIZE}], got {action.shape}")
        pressed = (action[:-2] > 0.5).tolist()
        held = frozenset(name for name, down in zip(BUTTONS, pressed, strict=True) if down)
        new = held - self.held_before
        self.held_before = held
        self.broken, self.picked_up = [], []
        self.ticks += 1
        if "inventory" in new:
            self.screen_open = not self.screen_open
        if self.screen_open:
            held = new = frozenset()
        else:
            self.body.turn(float(action[-2]), float(action[-1]))
        self._choose(held, new)
        self.swing = max(0, self.swing - 1)
        if "attack" in held and not self.swing:
            self.swing = SWING
        self._use_hands(held)
        self.body.tick(self.grid, held)
        self.view += 0.5 * ((SPRINT_VIEW if self.body.sprinting else 1.0) - self.view)
        self._tick_drops()

    @property
    def aimed(self) -> Aimed | None:
        """The block that the player points at."""
        return aim(self.grid, self.body.eye, self.body.pitch, self.body.yaw)

    def spill(self, item: int, position: ArrayLike, velocity: ArrayLike, delay: int) -> None:
        """Let an item fall from a position with a velocity, each [3]."""
        self.drops.append(Drop(item, np.array(position, np.float64), np.array(velocity, np.float64), delay))

    def _choose(self, held: frozenset[str], new: frozenset[str]) -> None:
        for slot in range(HOTBAR):
            if f"hotbar.{slot + 1}" in held:
                self.inventory.selected = slot
                break
        if "swapHands" in new:
            self.inventory.swap_hands()
        if "pickItem" in new and (aimed := self.aimed):
            self.inventory.fetch(aimed.kind)
        if "drop" in new and (item := self.inventory.take(self.inventory.selected)):
            eye = self.body.eye - [0.0, 0.3, 0.0]
            self.spill(item, eye, 0.3 * ahead(self.body.pitch, self.body.yaw) + [0.0, 0.1, 0.0], delay=40)

    def _use_hands(self, held: frozenset[str]) -> None:
        self.pause, self.place_wait = max(0, self.pause - 1), max(0, self.place_wait - 1)
        if "use" not in held:
            self.place_wait = 0
        if "attack" not in held:
            self.digging = None
            self.pause = 0
        if not held & {"attack", "use"}:
            return
        aimed = self.aimed
        if "attack" in held:
            self._dig(aimed)
        elif not self.place_wait and aimed and self._place(aimed):
            self.place_wait, self.swing = PLACE_EVERY, SWING

    def _dig(self, aimed: Aimed | None) -> None:
        item = self.inventory.held
        needed = ticks_to_break(aimed.kind, item) if aimed else None
        if aimed is None or needed is None or self.pause:
            self.digging = None
            return
        digging = self.digging
        if digging is None or (digging.cell, digging.item) != (aimed.cell, item):
            digging = Digging(aimed.cell, item, needed)
        digging.ticks += 1
        self.digging = digging
        if digging.ticks >= digging.needed:
            self._break(aimed, item)

    def _break(self, aimed: Aimed, item: int) -> None:
        self.grid[aimed.cell] = AIR
        self.broken.append(aimed.kind)
        self.digging, self.pause = None, BREAK_PAUSE
        if harvests(aimed.kind, item):
            east, south = self.rng.uniform(-0.1, 0.1, 2)
            middle = np.add(aimed.cell, (0.5, 0.25, 0.5))
            self.spill(drop_of(aimed.kind), middle, [east, 0.2, south], delay=10)

    def _place(self, aimed: Aimed) -> bool:
        """Put the block in the hand before the face that is pointed at; whether that worked."""
        cell, item = aimed.before, self.inventory.held
        inside = all(0 <= index < size for index, size in zip(cell, self.grid.shape, strict=True))
        if not 0 < item < FIRST_TOOL or not inside or self.grid[cell] not in (AIR, WATER):
            return False
        low, high = box_at(self.body.position, WIDTH, HEIGHT)
        if (np.array(cell) < high).all() and (np.add(cell, 1) > low).all():
            return False  # it would stand in the body
        self.grid[cell] = self.inventory.take(self.inventory.selected)
        return True

    def _tick_drops(self) -> None:
        for drop in self.drops:
            drop.tick(self.grid)
            if not drop.delay and drop.near(self.body.position) and not self.inventory.add(drop.item):
                self.picked_up.append(drop.item)
                drop.age = LIFETIME
        self.drops = [drop for drop in self.drops if drop.age < LIFETIME and drop.position[1] > -8]
