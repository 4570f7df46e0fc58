"""Which block a player points at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from playloop.core.caches import compiled
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.exact import ahead
from playloop.envs.craft.rays import block_at, enter

REACH = 4.5
"""Blocks from the eye."""
WATER = ID["water"]


class Aimed(NamedTuple):
    """A block within reach.

    Args:
        cell: of the block.
        before: the cell in front of the face that is pointed at.
        kind: of the block.
    """

    cell: tuple[int, int, int]
    before: tuple[int, int, int]
    kind: int


@compiled
def _walk(grid: np.ndarray, eye: np.ndarray, way: np.ndarray, reach: float) -> tuple[int, ...]:
    """The first cell with a block along `way`, the cell before it and the block's kind; 0 for none."""
    x, step_x, per_x, next_x = enter(eye[0], way[0])
    y, step_y, per_y, next_y = enter(eye[1], way[1])
    z, step_z, per_z, next_z = enter(eye[2], way[2])
    while True:
        was_x, was_y, was_z = x, y, z
        if next_x <= next_y and next_x <= next_z:
            depth, x, next_x = next_x, x + step_x, next_x + per_x
        elif next_y <= next_z:
            depth, y, next_y = next_y, y + step_y, next_y + per_y
        else:
            depth, z, next_z = next_z, z + step_z, next_z + per_z
        if depth > reach:
            return x, y, z, was_x, was_y, was_z, 0
        kind = block_at(grid, x, y, z)
        if kind != 0 and kind != WATER:
            return x, y, z, was_x, was_y, was_z, kind


def aim(grid: np.ndarray, eye: np.ndarray, pitch: float, yaw: float) -> Aimed | None:
    """The block that is looked at from `eye`, if it is within reach.

    Args:
        grid: uint8 [X, Y, Z].
        eye: float64 [3].
        pitch: degrees, downwards positive.
        yaw: degrees, clockwise from south.
    """
    x, y, z, was_x, was_y, was_z, kind = _walk(grid, eye, ahead(pitch, yaw), REACH)
    return Aimed((x, y, z), (was_x, was_y, was_z), int(kind)) if kind else None
