"""Pointing at blocks: which view hits a face, and breaking what is pointed at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from playloop.agents.craft.paths import Cell
from playloop.agents.craft.player import Move, Player, view_to
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.rays import REACH, aim

LEAVES = ID["leaves"]
FACES = ((0, 1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1), (0, -1, 0))
"""Outward; the top comes first because it is the easiest to hit."""
ASIDE = ((0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.0, -0.3), (0.3, 0.3), (-0.3, -0.3))
"""Points on a face, from its middle."""
STEADY = 0.5
"""Degrees a tick: a slower view may begin to hit."""


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
