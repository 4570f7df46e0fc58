"""Small pictures drawn by code: textures of 16 x 16 pixels, items, cracks, digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from playloop.envs.craft.blocks import BLOCKS, ID, Block, Color
from playloop.envs.craft.exact import hash_grid, unit
from playloop.envs.craft.items import tool_of

SIZE = 16
TOP, SIDE, BOTTOM = range(3)
"""Faces that look different; indices in the atlas."""
SKIN = (196, 150, 118)
HANDLE = (104, 78, 44)
STAGES = 8
"""Pictures of a block on its way to breaking."""

PATTERNS: dict[str, Callable[[int, np.ndarray, np.ndarray], np.ndarray]] = {
    "planks": lambda _, row, column: -44.0 * ((row % 4 == 3) | ((column + 8 * (row // 4 % 2)) % SIZE == 0)),
    "bricks": lambda _, row, column: -38.0 * ((row % 5 == 4) | ((column + 3 * (row // 5)) % 6 == 5)),
    "bark": lambda seed, row, column: 44.0 * (unit(hash_grid(seed, column + 0 * row, row // 6)) - 0.5),
    "ore": lambda seed, row, column: -78.0 * (unit(hash_grid(seed + 99, row // 3, column // 3)) < 0.34),
    "leaves": lambda seed, row, column: -30.0 * (unit(hash_grid(seed + 55, row // 2, column // 2)) < 0.4),
}
"""Name of a pattern → what it adds to a block's colour, by the block's number, rows and columns."""

_ROWS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")


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
    shade = grain * block.grain
    if block.pattern in PATTERNS:
        shade = shade + PATTERNS[block.pattern](number, row, column)
    return np.clip(np.array(color) + shade[..., None], 0, 255).astype(np.uint8)


def _fringe(number: int, side: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Grass that hangs over the upper edge of a side."""
    row, column = np.ogrid[:SIZE, :SIZE]
    hanging = row < 2 + 3 * unit(hash_grid(number + 7, column))
    return np.where(hanging[..., None], top, side)


@cache
def item_texture(item: int) -> np.ndarray:
    """An item's picture, uint8 [16, 16, 3]; black is see-through for tools."""
    tool = tool_of(item)
    if tool is None:
        return atlas()[item, TOP if item == ID["grass"] else SIDE]
    row, column = np.mgrid[:SIZE, :SIZE]
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[(abs(row + column - 15) <= 1) & (column < 11)] = HANDLE
    heads = {
        "pickaxe": (abs(np.hypot(row - 15, column) - 15) < 1.6) & (row < 12) & (column > 3),
        "axe": (row < 9) & (column > 6) & (column < 13) & (row + column > 8) & (column - row < 9),
        "shovel": np.hypot(row - 4, column - 11) < 3.4,
    }
    picture[heads[tool.kind]] = tool.head
    return picture


@cache
def icon(item: int, size: int) -> np.ndarray:
    """An item's picture as uint8 [size, size, 3]."""
    texels = (np.arange(size) * 2 + 1) * SIZE // (2 * size)
    return item_texture(item)[texels][:, texels]


@cache
def cracks(stage: int) -> np.ndarray:
    """Where a block is cracked, uint8 [16, 16, 3]; each stage's cracks are among the next one's."""
    row, column = np.ogrid[:SIZE, :SIZE]
    # Lines along which two coarse noises cross, widened stage by stage.
    noise = unit(hash_grid(77, row // 2, column // 2)) * 0.6 + unit(hash_grid(78, row, column)) * 0.4
    centre = np.hypot(row - 7.5, column - 7.5) / 11
    cracked = noise + 0.5 * centre < 0.16 + 0.075 * (stage + 1)
    return np.repeat(cracked[..., None].astype(np.uint8), 3, 2)


def digits(number: int) -> np.ndarray:
    """A number in a font of 3 x 5 pixels, bool [5, 4 · digits - 1]."""
    columns = []
    for index, digit in enumerate(str(number)):
        bits = [[int(row) >> bit & 1 for bit in (2, 1, 0)] for row in _ROWS[int(digit)]]
        columns += [np.zeros((5, 1), bool)] * bool(index) + [np.array(bits, bool)]
    return np.concatenate(columns, 1)
