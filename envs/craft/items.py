"""What a player can hold: blocks and tools, and how fast they break what is hit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from playloop.envs.craft.blocks import BLOCKS, ID, Block

STACK = 64
"""Most items of one kind in a slot."""


@dataclass(frozen=True)
class Tool:
    """A kind of tool.

    Args:
        name: unique among items.
        kind: which blocks it is for: `Block.tool`.
        speed: how many times faster than by hand.
        head: colour of its head, for its picture.
    """

    name: str
    kind: str
    speed: float
    head: tuple[int, int, int]


WOODEN, STONE_HEAD, IRON = (150, 116, 64), (136, 136, 136), (216, 216, 216)
TOOLS = tuple(
    Tool(f"{material}_{kind}", kind, speed, head)
    for material, speed, head in (("wooden", 2.0, WOODEN), ("stone", 4.0, STONE_HEAD), ("iron", 6.0, IRON))
    for kind in ("pickaxe", "axe", "shovel")
)
FIRST_TOOL = 64
"""Item numbers from here on are tools; below they are blocks. 0 is an empty hand."""

ITEM = dict(ID) | {tool.name: FIRST_TOOL + number for number, tool in enumerate(TOOLS)}
"""Name → number of every item."""


def tool_of(item: int) -> Tool | None:
    """The tool with this number, if it is one."""
    return TOOLS[item - FIRST_TOOL] if item >= FIRST_TOOL else None


def _fits(block: Block, item: int) -> Tool | None:
    tool = tool_of(item)
    return tool if tool and tool.kind == block.tool else None


def harvests(kind: int, item: int) -> bool:
    """Whether breaking the block with the item in hand gives something."""
    block = BLOCKS[kind]
    return block.drop != "nothing" and (block.tool != "pickaxe" or _fits(block, item) is not None)


def ticks_to_break(kind: int, item: int) -> int | None:
    """Ticks of hitting a block until it breaks, by Minecraft's rule; None if it never does.

    A second and a half for each unit of hardness, or five where the tool that it needs is missing; a fitting
    tool divides that by its speed.
    """
    block = BLOCKS[kind]
    if block.hardness is None:
        return None
    tool = _fits(block, item)
    seconds = block.hardness * (5.0 if block.tool == "pickaxe" and tool is None else 1.5)
    return max(1, math.ceil(20 * seconds / (tool.speed if tool else 1.0) - 1e-9))


def drop_of(kind: int) -> int:
    """The item that a broken block leaves."""
    return ITEM[BLOCKS[kind].drop or BLOCKS[kind].name]
