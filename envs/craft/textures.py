"""Textures of 16 x 16 pixels, drawn by code."""

from __future__ import annotations

from functools import cache

import numpy as np

from playloop.envs.craft.blocks import BLOCKS, Block, Color
from playloop.envs.craft.noise import hash_grid, unit

SIZE = 16
TOP, SIDE, BOTTOM = range(3)
"""Faces that look different; places in the atlas."""


@cache
def atlas() -> np.ndarray:
    """All textures, uint8 [kinds, 3 faces, 16 rows, 16 columns, 3]; row 0 is the upper edge."""
    return np.stack([np.stack(_faces(number, block)) for number, block in enumerate(BLOCKS)])


def _faces(number: int, block: Block) -> list[np.ndarray]:
    side = _paint(number, SIDE, block.side, block)
    if block.pattern == "fringe":
        side = _fringe(number, side, _paint(number, TOP, block.top or block.side, block))
    plain = Block(block.name, grain=block.grain, pattern=block.pattern if not block.top else "grain")
    top = _paint(number, TOP, block.top or block.side, plain)
    return [top, side, _paint(number, BOTTOM, block.bottom or block.side, plain)]


def _paint(number: int, face: int, color: Color, block: Block) -> np.ndarray:
    row, column = np.ogrid[:SIZE, :SIZE]
    grain = unit(hash_grid(number * 8 + face, row, column)) - 0.5
    patterns = {"planks": _planks, "bricks": _bricks, "bark": _bark, "ore": _ore, "leaves": _leaves}
    shade = grain * block.grain
    if block.pattern in patterns:
        shade = shade + patterns[block.pattern](number, row, column)
    return np.clip(np.array(color) + shade[..., None], 0, 255).astype(np.uint8)


def _planks(number: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    joint = (column + 8 * (row // 4 % 2)) % SIZE == 0
    return -44.0 * ((row % 4 == 3) | joint)


def _bricks(number: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    mortar = (row % 5 == 4) | ((column + 3 * (row // 5)) % 6 == 5)
    return -38.0 * mortar


def _bark(number: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    stripe = unit(hash_grid(number, column + 0 * row, row // 6))
    return 44.0 * (stripe - 0.5)


def _ore(number: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    return -78.0 * (unit(hash_grid(number + 99, row // 3, column // 3)) < 0.34)


def _leaves(number: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    return -30.0 * (unit(hash_grid(number + 55, row // 2, column // 2)) < 0.4)


def _fringe(number: int, side: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Grass that hangs over the upper edge of a side."""
    row, column = np.ogrid[:SIZE, :SIZE]
    hanging = row < 2 + 3 * unit(hash_grid(number + 7, column))
    return np.where(hanging[..., None], top, side)
