"""Ways through a voxel world: walking, jumping up a block, falling, swimming, digging where it pays."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from playloop.envs.craft.blocks import BLOCKS, ID, SOLID
from playloop.envs.craft.items import ticks_to_break

Cell = tuple[int, int, int]
"""Position of the feet: x, y, z."""

TICKS_A_BLOCK = 5.0
"""Cost of walking; what digging costs is counted in blocks of way."""
DEEPEST_FALL = 4
SWIM, RISE, FALL = 2.0, 1.0, 0.3
"""Blocks of way that a block in water, a jump and each block of a fall cost more."""
SIDES = ((1, 0), (0, 1), (-1, 0), (0, -1))
CORNERS = ((1, 1), (-1, 1), (-1, -1), (1, -1))
WATER = ID["water"]


class Ground:
    """A world to walk in.

    Args:
        grid: uint8 [X, Y, Z].
        diggable: names of blocks that may be dug through by hand; the others are walls.
    """

    def __init__(self, grid: np.ndarray, diggable: frozenset[str] = frozenset()):
        self.cells, self.shape = grid.tobytes(), grid.shape  # indexing bytes is much faster than an array
        self._solid = SOLID.tolist()
        self._efforts = [_effort(number, block.name in diggable) for number, block in enumerate(BLOCKS)]

    def kind(self, x: int, y: int, z: int) -> int:
        """The block in a cell: bedrock around and under the world, air over it."""
        width, height, depth = self.shape
        if y >= height:
            return 0
        inside = 0 <= x < width and y >= 0 and 0 <= z < depth
        return self.cells[(x * height + y) * depth + z] if inside else ID["bedrock"]

    def solid(self, x: int, y: int, z: int) -> bool:
        """Whether a body cannot be there."""
        return self._solid[self.kind(x, y, z)]

    def effort(self, x: int, y: int, z: int) -> float:
        """What it costs to have a cell free, in blocks of way; infinite for a wall."""
        return self._efforts[self.kind(x, y, z)]

    def wet(self, x: int, y: int, z: int) -> bool:
        """Whether there is water."""
        return self.kind(x, y, z) == WATER

    def stands(self, x: int, y: int, z: int) -> bool:
        """Whether feet in a cell rest: on a block, or in water."""
        return self.solid(x, y - 1, z) or self.wet(x, y, z)

    def room(self, x: int, y: int, z: int) -> bool:
        """Whether a body can stand or swim in a cell as it is."""
        return self.stands(x, y, z) and not self.solid(x, y, z) and not self.solid(x, y + 1, z)

    def moves(self, cell: Cell) -> Iterator[tuple[Cell, float]]:
        """Where one gets from a cell in one move, and its cost."""
        x, y, z = cell
        for dx, dz in SIDES:
            yield from self._ahead(x, y, z, x + dx, z + dz)
        if self.wet(*cell):
            if self.wet(x, y + 1, z):
                yield (x, y + 1, z), SWIM
            return
        for dx, dz in SIDES:
            target = x + dx, y + 1, z + dz
            if self.solid(x + dx, y, z + dz):
                effort = self.effort(x, y + 2, z) + self.effort(*target) + self.effort(x + dx, y + 2, z + dz)
                if effort < math.inf:
                    yield target, 1.0 + RISE + effort
        for dx, dz in CORNERS:
            around = ((x + dx, z), (x, z + dz), (x + dx, z + dz))
            free = not any(self.solid(a, y, b) or self.solid(a, y + 1, b) for a, b in around)
            if free and self.solid(x + dx, y - 1, z + dz) and not self.wet(x + dx, y, z + dz):
                yield (x + dx, y, z + dz), math.sqrt(2.0)

    def _ahead(self, x: int, y: int, z: int, a: int, b: int) -> Iterator[tuple[Cell, float]]:
        """Straight on, and down where there is nothing to stand on."""
        cost = 1.0 + self.effort(a, y, b) + self.effort(a, y + 1, b)
        if cost == math.inf:
            return
        for down in range(DEEPEST_FALL + 1):
            if down and self.solid(a, y - down, b):
                return
            if self.stands(a, y - down, b):
                yield (a, y - down, b), cost + FALL * down + (SWIM if self.wet(a, y - down, b) else 0.0)
                return


def _effort(kind: int, diggable: bool) -> float:
    if not SOLID[kind]:
        return 0.0
    ticks = ticks_to_break(kind, 0) if diggable else None
    return math.inf if ticks is None else 2.0 + ticks / TICKS_A_BLOCK


def find_path(
    ground: Ground,
    start: Cell,
    arrived: Callable[[Cell], bool],
    guess: Callable[[Cell], float] = lambda cell: 0.0,
    limit: int = 20_000,
) -> list[Cell] | None:
    """The cheapest way from a cell to the first that has `arrived`, both included (A*).

    Args:
        ground: the world.
        start: where the feet are.
        arrived: whether a cell is a goal.
        guess: never more than what is left to go.
        limit: cells looked at before giving up.

    Returns:
        The cells in order; None where no way was found.
    """
    order = itertools.count()
    front = [(guess(start), next(order), start)]
    costs, came = {start: 0.0}, {start: start}
    closed: set[Cell] = set()
    while front and len(closed) < limit:
        cell = heapq.heappop(front)[2]
        if cell in closed:
            continue
        closed.add(cell)
        if arrived(cell):
            return _trace(came, cell)
        for target, cost in ground.moves(cell):
            total = costs[cell] + cost
            if total < costs.get(target, math.inf):
                costs[target], came[target] = total, cell
                heapq.heappush(front, (total + guess(target), next(order), target))
    return None


def _trace(came: dict[Cell, Cell], cell: Cell) -> list[Cell]:
    path = [cell]
    while came[cell] != cell:
        cell = came[cell]
        path.append(cell)
    return path[::-1]


def passage(start: Cell, end: Cell) -> list[Cell]:
    """The cells that a body needs free for one move, in the order in which they are best cleared."""
    (x, y, z), (a, b, c) = start, end
    if b > y:
        above = [(x, y + 2, z)] if (x, z) != (a, c) else []
        return [*above, (a, b, c), (a, b + 1, c)]
    return [(a, level, c) for level in range(y + 1, b - 1, -1)]
