"""Small pictures drawn by code: items, cracks, digits."""

from __future__ import annotations

from functools import cache

import numpy as np

from playloop.envs.craft.blocks import ID
from playloop.envs.craft.items import tool_of
from playloop.envs.craft.noise import hash_grid, unit
from playloop.envs.craft.textures import SIDE, SIZE, TOP, atlas

SKIN = (196, 150, 118)
HANDLE = (104, 78, 44)
STAGES = 8
"""Pictures of a block on its way to breaking."""

_ROWS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")


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
    places = (np.arange(size) * 2 + 1) * SIZE // (2 * size)
    return item_texture(item)[places][:, places]


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
    for place, digit in enumerate(str(number)):
        bits = [[int(row) >> bit & 1 for bit in (2, 1, 0)] for row in _ROWS[int(digit)]]
        columns += [np.zeros((5, 1), bool)] * bool(place) + [np.array(bits, bool)]
    return np.concatenate(columns, 1)
