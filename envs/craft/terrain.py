"""Ground, water, beaches, ore and trees from a seed."""

from __future__ import annotations

import numpy as np

from playloop.envs.craft.blocks import ID
from playloop.envs.craft.exact import hash_grid, unit, value_noise

SHAPE = (128, 64, 128)
"""Blocks in x (east), y (up) and z (south)."""
SEA = 25
"""Highest y that water fills."""
TREE_CELL = 7
"""Side of the squares of which each may hold a tree."""


def height_map(seed: int) -> np.ndarray:
    """The y of the highest ground block, int64 [128, 128]."""
    width, _, depth = SHAPE
    octaves = ((40, 14.0), (18, 7.0), (7, 2.0))
    sums = [
        amplitude * (value_noise(seed * 31 + number, width, depth, scale) - 0.5)
        for number, (scale, amplitude) in enumerate(octaves)
    ]
    return np.floor(27.5 + sums[0] + sums[1] + sums[2]).astype(np.int64)


def generate(seed: int) -> np.ndarray:
    """The world's blocks, uint8 [128, 64, 128]; the same seed gives the same world."""
    height, grid = height_map(seed), np.zeros(SHAPE, np.uint8)
    _lay_ground(grid, height)
    x, y, z = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    veins = unit(hash_grid(seed ^ 0x0A, x // 2, y // 2, z // 2)) < 0.012
    grid[veins & (grid == ID["stone"])] = ID["coal_ore"]
    _plant_trees(grid, height, seed)
    return grid


def _lay_ground(grid: np.ndarray, height: np.ndarray) -> None:
    y = np.arange(SHAPE[1])[None, :, None]
    top = height[:, None, :]
    beach = top <= SEA + 1
    grid[(y > top) & (y <= SEA)] = ID["water"]
    grid[y < top - 3 + 0 * top] = ID["stone"]
    grid[(y >= top - 3) & (y < top) & ~beach] = ID["dirt"]
    grid[(y >= top - 3) & (y <= top) & beach] = ID["sand"]
    grid[(y == top) & ~beach] = ID["grass"]
    grid[:, 0] = ID["bedrock"]


def _plant_trees(grid: np.ndarray, height: np.ndarray, seed: int) -> None:
    margin = 3
    for cell_x in range(SHAPE[0] // TREE_CELL):
        for cell_z in range(SHAPE[2] // TREE_CELL):
            draw = int(hash_grid(seed ^ 0x7EE, np.array(cell_x), np.array(cell_z)))
            x = cell_x * TREE_CELL + draw % TREE_CELL
            z = cell_z * TREE_CELL + draw // 8 % TREE_CELL
            inside = margin <= x < SHAPE[0] - margin and margin <= z < SHAPE[2] - margin
            if inside and draw // 64 % 100 < 38 and grid[x, height[x, z], z] == ID["grass"]:
                _grow(grid, x, int(height[x, z]) + 1, z, 4 + draw // 8192 % 3)


def _grow(grid: np.ndarray, x: int, y: int, z: int, trunk: int) -> None:
    """A trunk from (x, y, z) upwards and leaves around its top."""
    for level, reach in ((trunk - 2, 2), (trunk - 1, 2), (trunk, 1), (trunk + 1, 1)):
        for dx in range(-reach, reach + 1):
            for dz in range(-reach, reach + 1):
                corner = abs(dx) == abs(dz) == reach and (reach == 2 or level == trunk + 1)
                if not corner and grid[x + dx, y + level, z + dz] == ID["air"]:
                    grid[x + dx, y + level, z + dz] = ID["leaves"]
    grid[x, y : y + trunk, z] = ID["log"]
    grid[x, y - 1, z] = ID["dirt"]
