"""Boxes in the picture that are no blocks of the world: lying items, and the cracks of a breaking block."""

from __future__ import annotations

import numpy as np

from playloop.core.caches import compiled
from playloop.envs.craft.rays import NEVER, SHADES, march, texel

CRACK_DARKNESS = 0.45
"""Light that is left in a crack."""


@compiled
def slab(low: float, high: float, eye: float, slope: float) -> tuple[float, float]:
    """Depths at which a ray enters and leaves the space between two planes."""
    if slope == 0:
        return (-NEVER, NEVER) if low <= eye <= high else (NEVER, -NEVER)
    a, b = (low - eye) / slope, (high - eye) / slope
    return min(a, b), max(a, b)


@compiled
def draw_box(
    grid: np.ndarray,
    texture: np.ndarray,
    cracked: bool,
    box: np.ndarray,
    eye: np.ndarray,
    corner: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    light: float,
    span: tuple[int, int, int, int],
    image: np.ndarray,
) -> None:
    """Paint one box over a picture, where no block hides it.

    Args:
        grid: blocks, uint8 [X, Y, Z].
        texture: uint8 [16, 16, 3]; black is see-through. Texels of a cracked box darken what is there.
        cracked: which of the two it is.
        box: lower and upper corner, float64 [6].
        eye: float64 [3]; `corner`, `across`, `down`: the plane of view, see `render.view_plane`.
        light: of the day.
        span: first and last row, first and last column that may be touched, ends excluded.
        image: uint8 [H, W, 3], changed in place.
    """
    for row in range(span[0], span[1]):
        for column in range(span[2], span[3]):
            slope_x = corner[0] + across[0] * (column + 0.5) + down[0] * (row + 0.5)
            slope_y = corner[1] + across[1] * (column + 0.5) + down[1] * (row + 0.5)
            slope_z = corner[2] + across[2] * (column + 0.5) + down[2] * (row + 0.5)
            near_x, far_x = slab(box[0], box[3], eye[0], slope_x)
            near_y, far_y = slab(box[1], box[4], eye[1], slope_y)
            near_z, far_z = slab(box[2], box[5], eye[2], slope_z)
            depth = max(near_x, near_y, near_z)
            if depth <= 0 or depth > min(far_x, far_y, far_z):
                continue
            if depth >= march(grid, eye, slope_x, slope_y, slope_z)[2]:
                continue
            u_x = (eye[0] + slope_x * depth - box[0]) / (box[3] - box[0])
            u_y = (eye[1] + slope_y * depth - box[1]) / (box[4] - box[1])
            u_z = (eye[2] + slope_z * depth - box[2]) / (box[5] - box[2])
            if depth == near_y:
                axis, v, u = 1, texel(u_z), texel(u_x)
            elif depth == near_x:
                axis, v, u = 0, 15 - texel(u_y), texel(u_z)
            else:
                axis, v, u = 2, 15 - texel(u_y), texel(u_x)
            if texture[v, u, 0] == 0 and texture[v, u, 1] == 0 and texture[v, u, 2] == 0:
                continue  # nothing of a tool is here, nor a crack
            for channel in range(3):
                if not cracked:
                    image[row, column, channel] = int(texture[v, u, channel] * (SHADES[axis] * light) + 0.5)
                else:
                    image[row, column, channel] = int(image[row, column, channel] * CRACK_DARKNESS)


def span_of(
    box: np.ndarray, eye: np.ndarray, plane: tuple[np.ndarray, ...], size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The rows and columns of a picture (H, W) that a box can cover; None if it is not in view.

    `box` and `eye` are `draw_box`'s, `plane` is `render.view_plane`'s.
    """
    corner, across, down = plane
    corners = np.stack(np.meshgrid(box[[0, 3]], box[[1, 4]], box[[2, 5]]), -1).reshape(-1, 3) - eye
    normal = np.cross(down, across)
    normal /= normal @ corner  # depth 1 on the plane itself
    depths = corners @ normal
    if (depths <= 0).all():
        return None
    if (depths < 0.05).any():
        return 0, size[0], 0, size[1]
    on_plane = corners / depths[:, None] - corner
    rows, columns = on_plane @ down / (down @ down), on_plane @ across / (across @ across)
    span = (
        max(0, int(np.floor(rows.min()))),
        min(size[0], int(np.ceil(rows.max())) + 1),
        max(0, int(np.floor(columns.min()))),
        min(size[1], int(np.ceil(columns.max())) + 1),
    )
    return span if span[0] < span[1] and span[2] < span[3] else None
