"""A player as an expert sees it: it moves by the game's own physics and looks at what it is to hit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.agents.craft.paths import Cell
from playloop.core.minecraft import action_vector
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.body import WIDTH, Body, grid_at
from playloop.envs.craft.env import STATE_NAMES
from playloop.envs.craft.inventory import HOTBAR
from playloop.envs.craft.rays import REACH, Aimed, aim

MOUSE = 0.15
"""Degrees of the smallest turn, as in Minecraft at its usual sensitivity."""
FASTEST, QUICKENING, EASING = 14.0, 5.0, 0.35
"""Most degrees a tick; how much faster or slower a tick may turn than the last; share of what is left."""
LEAVES = ID["leaves"]
FACES = ((0, 1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1), (0, -1, 0))
"""Outward; the top comes first because it is the easiest to hit."""
ASIDE = ((0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.0, -0.3), (0.3, 0.3), (-0.3, -0.3))
"""Points on a face, from its middle."""
STEADY = 0.5
"""Degrees a tick: a slower view may begin to hit."""

_INDEX = {name: number for number, name in enumerate(STATE_NAMES)}
_FIRST_KIND, _FIRST_COUNT = _INDEX["kind.1"], _INDEX["count.1"]


@dataclass
class Move:
    """A tick's keys and where to look.

    Args:
        keys: names of the held ones.
        look: wanted pitch and yaw in degrees; None lets the view come to rest.
        ends: what follows is not known before the game has answered: nothing is planned beyond this tick.
    """

    keys: frozenset[str] = frozenset()
    look: tuple[float, float] | None = None
    ends: bool = False


@dataclass
class Player:
    """The body, what is in the hand, and the world; `tick` foresees what a move leads to.

    Args:
        grid: uint8 [X, Y, Z]; never written to.
        body: a copy of the player's.
        kinds: item of each hotbar slot.
        selected: slot of the hand.
        digging: how far the aimed block is broken.
        turn: degrees (pitch, yaw) of the last tick.
    """

    grid: np.ndarray
    body: Body
    kinds: list[int]
    selected: int
    digging: float
    turn: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def read(cls, observation: dict[str, Any], turn: tuple[float, float]) -> Player:
        """From a state of `envs.craft` and the ground truth."""
        state = observation["state"].astype(np.float64)
        body = Body(
            snapped(state[:3]),
            state[3:6].copy(),
            yaw=float(state[_INDEX["yaw"]]),
            pitch=float(state[_INDEX["pitch"]]),
            on_ground=bool(state[_INDEX["on_ground"]]),
            sneaking=bool(state[_INDEX["sneaking"]]),
        )
        kinds = [
            int(kind) if count > 0 else 0
            for kind, count in zip(state[_FIRST_KIND:][:HOTBAR], state[_FIRST_COUNT:][:HOTBAR], strict=True)
        ]
        selected, digging = int(state[_INDEX["selected"]]), float(state[_INDEX["digging"]])
        return cls(observation["privileged"]["grid"], body, kinds, selected, digging, turn)

    @property
    def cell(self) -> Cell:
        """Where the feet are."""
        x, y, z = self.body.position
        return math.floor(x), math.floor(y + 1e-3), math.floor(z)

    @property
    def swims(self) -> bool:
        """Whether the body is in water as the physics has it."""
        x, y, z = self.body.position
        return grid_at(self.grid, x, y + 0.4, z) == ID["water"]

    def aimed(self, turn: tuple[float, float] = (0.0, 0.0)) -> Aimed | None:
        """The block that is pointed at after a turn."""
        pitch = min(max(self.body.pitch + turn[0], -90.0), 90.0)
        return aim(self.grid, self.body.eye, pitch, self.body.yaw + turn[1])

    def slot_of(self, item: int) -> int | None:
        """The hotbar slot with an item."""
        return self.kinds.index(item) if item in self.kinds else None

    def turn_to(self, look: tuple[float, float] | None) -> tuple[float, float]:
        """The next tick's turn towards a view: it sets in and eases out, and comes in steps of the mouse."""
        if look is None:
            return _eased(0.0, self.turn[0]), _eased(0.0, self.turn[1])
        pitch = look[0] - self.body.pitch
        yaw = (look[1] - self.body.yaw + 180.0) % 360.0 - 180.0
        return _eased(pitch, self.turn[0]), _eased(yaw, self.turn[1])

    def tick(self, move: Move) -> np.ndarray:
        """Carry out a move in this copy; returns the action vector float32 [25] that does it in the game."""
        self.turn = self.turn_to(move.look)
        self.body.turn(*self.turn)
        for slot in range(HOTBAR):
            if f"hotbar.{slot + 1}" in move.keys:
                self.selected = slot
        self.body.tick(self.grid, move.keys)
        return action_vector({**dict.fromkeys(move.keys, 1), "camera": self.turn})


def view_to(eye: np.ndarray, point: np.ndarray) -> tuple[float, float]:
    """Pitch and yaw, in degrees, of a look from an eye at a point, both float64 [3]."""
    east, up, south = point - eye
    return math.degrees(math.atan2(-up, math.hypot(east, south))), math.degrees(math.atan2(-east, south))


def snapped(position: np.ndarray) -> np.ndarray:
    """A position [3] whose skin lies exactly on a block's face where it was rounded to just beside it."""
    position = position.copy()
    for axis, half in ((0, WIDTH / 2), (1, 0.0), (2, WIDTH / 2)):
        for side in {half, -half}:
            face = round(position[axis] + side)
            if abs(position[axis] + side - face) < 2e-5:
                position[axis] = face - side
    return position


def _eased(left: float, last: float) -> float:
    wanted = left if abs(left) < 1.0 else min(max(EASING * left, -FASTEST), FASTEST)
    turn = min(max(wanted, last - QUICKENING), last + QUICKENING)
    return round(turn / MOUSE) * MOUSE


def _face_points(cell: Cell, face: Cell) -> Iterator[np.ndarray]:
    """Points on a face of a block, float64 [3], the middle first."""
    axis, *others = sorted(range(3), key=lambda axis: not face[axis])
    for first, second in ASIDE:
        point = np.array(cell, np.float64) + 0.5
        point[axis] += 0.5 * face[axis]
        point[others[0]] += first
        point[others[1]] += second
        yield point


def sight(
    grid: np.ndarray, eye: np.ndarray, cell: Cell, before: Cell | None = None
) -> tuple[float, float] | None:
    """A view, pitch and yaw, that points at a block; None if no face of it is in sight and reach.

    Args:
        grid: uint8 [X, Y, Z].
        eye: float64 [3].
        cell: of the block.
        before: cell that must lie in front of the face that is hit; None for any face.
    """
    for face in FACES:
        front = cell[0] + face[0], cell[1] + face[1], cell[2] + face[2]
        middle = np.array(cell) + 0.5 + 0.5 * np.array(face)
        if (before is not None and front != before) or (eye - middle) @ np.array(face) <= 0:
            continue
        for point in _face_points(cell, face):
            if np.linalg.norm(point - eye) > REACH - 0.05:
                continue
            look = view_to(eye, point)
            hit = aim(grid, eye, *look)
            if hit is not None and hit.cell == cell and hit.before == front:
                return look
    return None


def strike(player: Player, cell: Cell) -> Move | None:
    """Turn to a block and hit it until it breaks, leaves before it first; None if it is out of sight."""
    look = sight(player.grid, player.body.eye, cell)
    if look is None:
        look = sight(without_leaves(player, cell), player.body.eye, cell)
    if look is None:
        return None
    turn = player.turn_to(look)
    aimed = player.aimed(turn)
    hits = aimed is not None and (
        aimed.cell == cell or (aimed.kind == LEAVES and max(map(abs, turn)) < STEADY)
    )
    return Move(frozenset({"attack"} if hits else ()), look)


def without_leaves(player: Player, cell: Cell) -> np.ndarray:
    """The world with no leaves but the one in `cell`."""
    bare = np.where(player.grid == LEAVES, 0, player.grid).astype(np.uint8)
    bare[cell] = player.grid[cell]
    return bare


def near_cells(grid: np.ndarray, kind: int, eye: np.ndarray) -> list[Cell]:
    """The cells within reach of an eye that hold a kind of block, nearest first."""
    low = np.maximum(np.floor(eye - REACH - 1).astype(int), 0)
    part = grid[tuple(slice(start, start + 12) for start in low)]
    cells = np.argwhere(part == kind) + low
    distances = np.linalg.norm(cells + 0.5 - eye, axis=1)
    order = np.argsort(distances, kind="stable")
    return [tuple(cells[index].tolist()) for index in order if distances[index] < REACH + 0.8]
