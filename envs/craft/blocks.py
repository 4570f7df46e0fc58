"""The kinds of blocks: what they are called, how they break, how they look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Block:
    """A kind of block.

    Args:
        name: unique.
        side: colour of the sides; also of top and bottom unless they are given.
        top: colour of the top.
        bottom: colour of the bottom.
        grain: contrast of the texture's grain, in 0 … 255.
        pattern: of the texture: "grain", "planks", "bricks", "bark", "ore", "fringe" or "leaves".
        hardness: seconds to break are 1.5 times this by hand where no tool is needed; None never breaks.
        tool: kind of tool that is faster, or "".
        solid: whether bodies collide with it.
        drop: name of what breaking it gives; "" for itself, "nothing" for nothing.
    """

    name: str
    side: Color = (0, 0, 0)
    top: Color | None = None
    bottom: Color | None = None
    grain: int = 16
    pattern: str = "grain"
    hardness: float | None = 1.0
    tool: str = ""
    solid: bool = True
    drop: str = ""


DIRT, WOOD, TURF = (121, 85, 58), (162, 130, 78), (96, 152, 62)
BLOCKS = (
    Block("air", solid=False, hardness=None),
    Block("grass", DIRT, TURF, DIRT, pattern="fringe", hardness=0.6, tool="shovel", drop="dirt"),
    Block("dirt", DIRT, hardness=0.5, tool="shovel"),
    Block("stone", (125, 125, 125), hardness=1.5, tool="pickaxe", drop="cobblestone"),
    Block("sand", (219, 207, 163), grain=10, hardness=0.5, tool="shovel"),
    Block("water", (52, 92, 188), grain=8, hardness=None, solid=False),
    Block("log", (102, 81, 51), WOOD, WOOD, pattern="bark", hardness=2.0, tool="axe"),
    Block("leaves", (58, 108, 40), grain=34, pattern="leaves", hardness=0.2, drop="nothing"),
    Block("planks", WOOD, grain=10, pattern="planks", hardness=2.0, tool="axe"),
    Block("cobblestone", (118, 118, 118), grain=22, pattern="bricks", hardness=2.0, tool="pickaxe"),
    Block("bedrock", (64, 64, 66), grain=40, hardness=None),
    Block("coal_ore", (125, 125, 125), pattern="ore", hardness=3.0, tool="pickaxe"),
    Block("red_wool", (170, 48, 42), grain=12, hardness=0.8),
    Block("blue_wool", (54, 66, 168), grain=12, hardness=0.8),
    Block("yellow_wool", (232, 190, 46), grain=12, hardness=0.8),
)
"""By id; 0 is air."""

ID = {block.name: number for number, block in enumerate(BLOCKS)}
"""Name → id."""

SOLID = np.array([block.solid for block in BLOCKS])
"""Whether bodies collide, bool [kinds]."""
