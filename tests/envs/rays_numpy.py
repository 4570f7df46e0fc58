"""The reference of the voxel world's renderer: all rays at once, with the arithmetic of `rays`."""

from __future__ import annotations

import numpy as np

from playloop.envs.craft.rays import (
    CLEAREST,
    DARKEST,
    FAR,
    HORIZON,
    MURK,
    NEVER,
    SHADES,
    WATER,
    WATER_COLOR,
    ZENITH,
)

Hits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draw_numpy(
    grid: np.ndarray,
    atlas: np.ndarray,
    eye: np.ndarray,
    corner: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    light: float,
    image: np.ndarray,
) -> None:
    """Fill `image` uint8 [H, W, 3]; see `rays.draw`."""
    rows, columns = np.arange(image.shape[0]) + 0.5, np.arange(image.shape[1]) + 0.5
    slopes = (corner + across * columns[None, :, None] + down * rows[:, None, None]).reshape(-1, 3)
    kinds, axes, depths, wet = _march(grid, eye, slopes)
    color = _texels(atlas, kinds, axes, slopes, eye + slopes * depths[:, None], light)
    fog = np.where(kinds > 0, (depths / FAR) * (depths / FAR), 1.0)[:, None]
    height = np.clip(slopes[:, 1:2], 0.0, 1.0)
    sky = (np.array(HORIZON) + (np.array(ZENITH) - np.array(HORIZON)) * height) * light
    color = color + (sky - color) * fog
    murky = (
        color + (np.array(WATER_COLOR) * light - color) * np.minimum(CLEAREST + wet * MURK, DARKEST)[:, None]
    )
    image[:] = (np.where(wet[:, None] > 0, murky, color) + 0.5).astype(np.uint8).reshape(image.shape)


def _enter(eye: np.ndarray, slopes: np.ndarray) -> Hits:
    """Along each axis [n, 3]: first cell, step, depth of a cell, depth of the first border."""
    cell = np.broadcast_to(np.floor(eye).astype(np.int64), slopes.shape)
    away = np.where(slopes > 0, cell + 1 - eye, eye - cell)
    with np.errstate(divide="ignore"):
        per = np.where(slopes != 0, 1 / np.abs(slopes), NEVER)
    first = np.where(slopes != 0, away * per, NEVER)
    return cell.copy(), np.sign(slopes).astype(np.int64), per, first


def _blocks_at(grid: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The blocks in cells [n, 3]; outside there is air."""
    inside = np.all((cells >= 0) & (cells < grid.shape), axis=1)
    x, y, z = np.where(inside[:, None], cells, 0).T
    return np.where(inside, grid[x, y, z], 0)


def _march(grid: np.ndarray, eye: np.ndarray, slopes: np.ndarray) -> Hits:
    """Block, axis of the face, depth and depth of water for rays [n, 3]."""
    n = len(slopes)
    kinds, axes, depths, wet = np.zeros(n, np.int64), np.zeros(n, np.int64), np.full(n, FAR), np.zeros(n)
    cell, step, per, border = _enter(eye, slopes)
    going, before, swims = np.arange(n), np.zeros(n), _blocks_at(grid, cell) == WATER
    while len(going):
        x, y, z = border[going].T
        axis = np.where((x <= y) & (x <= z), 0, np.where(y <= z, 1, 2))
        depth = border[going, axis]
        cell[going, axis] += step[going, axis]
        border[going, axis] += per[going, axis]
        wet[going] += np.where(swims[going], np.minimum(depth, FAR) - before[going], 0.0)
        height = cell[going, 1]
        gone = (depth >= FAR) | ((height >= grid.shape[1]) & (step[going, 1] >= 0)) | (height < 0)
        kind = np.where(gone, 0, _blocks_at(grid, cell[going]))
        before[going], swims[going], axes[going] = depth, kind == WATER, axis
        hit = (kind != 0) & (kind != WATER)
        kinds[going[hit]], depths[going[hit]] = kind[hit], depth[hit]
        going = going[~(gone | hit)]
    return kinds, axes, depths, wet


def _texels(
    atlas: np.ndarray, kinds: np.ndarray, axes: np.ndarray, slopes: np.ndarray, hits: np.ndarray, light: float
) -> np.ndarray:
    """The faces' own colours under the shade of their side, float64 [n, 3]."""
    places = np.minimum(((hits - np.floor(hits)) * 16).astype(np.int64), 15)  # [n, 3]
    flat, under = axes == 1, slopes[:, 1] > 0
    face = np.where(flat, 2 * under, 1)
    shade = np.where(flat, 1 + 2 * under, axes)
    row = np.where(flat, places[:, 2], 15 - places[:, 1])
    column = np.where(axes == 0, places[:, 2], places[:, 0])
    return atlas[kinds, face, row, column] * (np.array(SHADES)[shade] * light)[:, None]
