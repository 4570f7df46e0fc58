"""Rays through the blocks, marched from cell to cell (Amanatides and Woo 1987): what is aimed at and seen.

Compiled, pixel by pixel; sums are not reordered, so the pictures are IEEE's everywhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from playloop.core.caches import compiled
from playloop.envs.craft.blocks import ID
from playloop.envs.craft.exact import ahead

FAR = 64.0
"""Depth, in blocks, at which everything has faded into the sky."""
ZENITH, HORIZON = (104.0, 160.0, 240.0), (190.0, 214.0, 245.0)
SHADES = (0.8, 1.0, 0.65, 0.5)
"""Light on faces across x, on tops, on faces across z, on undersides."""
WATER = ID["water"]
WATER_COLOR = (36.0, 78.0, 170.0)
MURK, CLEAREST, DARKEST = 0.1, 0.4, 0.9
"""Share of the view that a block's length of water takes; the least and the most that any water takes."""
NEVER = 1e30
REACH = 4.5
"""Blocks from the eye at which something can still be hit."""
_BEYOND = math.nextafter(REACH, math.inf)


@compiled
def enter(position: float, slope: float) -> tuple[int, int, float, float]:
    """Along one axis: first cell, step, depth of a cell, depth of the first border."""
    cell = math.floor(position)
    if slope > 0:
        return cell, 1, 1 / slope, (cell + 1 - position) * (1 / slope)
    if slope < 0:
        return cell, -1, -1 / slope, (position - cell) * (-1 / slope)
    return cell, 0, NEVER, NEVER


@compiled
def march(
    grid: np.ndarray, eye: np.ndarray, slope_x: float, slope_y: float, slope_z: float, far: float = FAR
) -> tuple[int, int, float, float, tuple[int, int, int]]:
    """The first block nearer than `far` that is neither air nor water.

    Returns:
        Its kind (0 for none), its face's axis, depth, depth of water before it, its cell.
    """
    x, step_x, per_x, next_x = enter(eye[0], slope_x)
    y, step_y, per_y, next_y = enter(eye[1], slope_y)
    z, step_z, per_z, next_z = enter(eye[2], slope_z)
    inside = 0 <= x < grid.shape[0] and 0 <= y < grid.shape[1] and 0 <= z < grid.shape[2]
    wet, before, swims = 0.0, 0.0, inside and grid[x, y, z] == WATER
    while True:
        if next_x <= next_y and next_x <= next_z:
            axis, depth, x, next_x = 0, next_x, x + step_x, next_x + per_x
        elif next_y <= next_z:
            axis, depth, y, next_y = 1, next_y, y + step_y, next_y + per_y
        else:
            axis, depth, z, next_z = 2, next_z, z + step_z, next_z + per_z
        if swims:
            wet += min(depth, far) - before
        if depth >= far:
            return 0, axis, far, wet, (x, y, z)
        if 0 <= x < grid.shape[0] and 0 <= y < grid.shape[1] and 0 <= z < grid.shape[2]:
            kind = grid[np.uint64(x), np.uint64(y), np.uint64(z)]  # unsigned: no wrap to compile
        elif y < 0 or (y >= grid.shape[1] and step_y >= 0):
            return 0, axis, far, wet, (x, y, z)
        else:
            kind = 0
        if kind == 0:
            swims = False
            continue
        before, swims = depth, kind == WATER
        if not swims:
            return kind, axis, depth, wet, (x, y, z)


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


def aim(grid: np.ndarray, eye: np.ndarray, pitch: float, yaw: float) -> Aimed | None:
    """The block that is looked at from `eye` float64 [3], if it is within reach; angles as in `ahead`."""
    way = ahead(pitch, yaw).tolist()
    kind, axis, _, _, cell = march(grid, eye, *way, _BEYOND)
    if not kind:
        return None
    before = list(cell)
    before[axis] -= 1 if way[axis] > 0 else -1
    return Aimed(cell, tuple(before), int(kind))


@compiled
def texel(position: float) -> int:
    """The texture's row or column at a point on a face."""
    return min(int((position - math.floor(position)) * 16), 15)


@compiled
def face_of(axis: int, slope_y: float, hit_x: float, hit_y: float, hit_z: float) -> tuple[int, int, int, int]:
    """Texture, shade, row and column of a hit."""
    if axis == 1:
        under = 1 if slope_y > 0 else 0
        return 2 * under, 1 + 2 * under, texel(hit_z), texel(hit_x)
    return 1, axis, 15 - texel(hit_y), texel(hit_z if axis == 0 else hit_x)


@compiled
def blend(color: float, channel: int, wet: float, fog: float, height: float, light: float) -> float:
    """A channel's value behind fog and water."""
    sky = (HORIZON[channel] + (ZENITH[channel] - HORIZON[channel]) * height) * light
    color = color + (sky - color) * fog
    if wet > 0:
        color = color + (WATER_COLOR[channel] * light - color) * min(CLEAREST + wet * MURK, DARKEST)
    return color


@compiled
def draw(
    grid: np.ndarray,
    atlas: np.ndarray,
    eye: np.ndarray,
    corner: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    light: float,
    image: np.ndarray,
) -> None:
    """Fill `image` uint8 [H, W, 3]; see `render` for the rest."""
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            slope_x = corner[0] + across[0] * (column + 0.5) + down[0] * (row + 0.5)
            slope_y = corner[1] + across[1] * (column + 0.5) + down[1] * (row + 0.5)
            slope_z = corner[2] + across[2] * (column + 0.5) + down[2] * (row + 0.5)
            kind, axis, depth, wet, _ = march(grid, eye, slope_x, slope_y, slope_z)
            hit_x, hit_y, hit_z = eye[0] + slope_x * depth, eye[1] + slope_y * depth, eye[2] + slope_z * depth
            face, shade, v, u = face_of(axis, slope_y, hit_x, hit_y, hit_z)
            fog = (depth / FAR) * (depth / FAR) if kind else 1.0
            height = min(max(slope_y, 0.0), 1.0)
            for channel in range(3):
                color = atlas[kind, face, v, u, channel] * (SHADES[shade] * light)
                image[row, column, channel] = int(blend(color, channel, wet, fog, height, light) + 0.5)
