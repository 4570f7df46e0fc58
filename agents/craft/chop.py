"""Chopping trees: go to the nearest trunk, hit its logs, pick up what falls."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from playloop.agents.craft.paths import Cell
from playloop.agents.craft.player import Move, near_cells, sight, without_leaves
from playloop.agents.craft.walk import Walker
from playloop.envs.craft.blocks import ID

LOG = ID["log"]
HIGHEST = 2
"""How far above the feet the logs are for which one stands under or beside them."""

NEARBY = 500
"""Cells that are looked at for a way to a fallen log: it is near or nowhere."""


def chop(walker: Walker, drops: np.ndarray) -> Move:
    """A tick of chopping.

    Args:
        walker: who does it.
        drops: item, x, y, z of what lies about, float64 [n, 4].
    """
    player, memory = walker.player, walker.memory
    if move := walker.come_free():
        return move
    if memory.target is not None and player.grid[memory.target] == LOG:
        if move := walker.hit(memory.target):
            return move
        memory.shun(memory.target)
    memory.target = None
    if (move := _collect(walker, drops)) is not None:
        return move
    if (log := _visible(walker)) is not None:
        memory.target, memory.route = log, None
        return walker.hit(log) or Move()
    return _approach(walker)


def _visible(walker: Walker, leafy: bool = False) -> Cell | None:
    """The nearest log that can be hit from here; `leafy`, also one behind leaves."""
    player, memory = walker.player, walker.memory
    eye = player.body.eye
    for log in near_cells(player.grid, LOG, eye):
        if log not in memory.avoid:
            grid = without_leaves(player, log) if leafy else player.grid
            if sight(grid, eye, log) is not None:
                return log
    return None


def _collect(walker: Walker, drops: np.ndarray) -> Move | None:
    """Go to the nearest log that lies about and out of reach; None if there is none."""
    memory, position = walker.memory, walker.player.body.position
    logs = [drop[1:] for drop in drops if drop[0] == LOG]
    logs = [log for log in logs if ("drop", *np.floor(log).astype(int).tolist()) not in memory.avoid]
    if not logs:
        return None
    log = min(logs, key=lambda log: float(np.linalg.norm(log - position)))
    purpose = ("drop", *np.floor(log).astype(int).tolist())

    def arrived(cell: Cell) -> bool:
        beside = max(abs(cell[0] + 0.5 - log[0]), abs(cell[2] + 0.5 - log[2]))
        return beside <= 0.75 and -0.6 <= log[1] - cell[1] <= 2.2

    def guess(cell: Cell) -> float:
        return max(0.0, math.hypot(cell[0] + 0.5 - log[0], cell[2] + 0.5 - log[2]) - 1.1)

    move = walker.walk(purpose, arrived, guess, NEARBY)
    waits = memory.route is not None and memory.route.purpose == purpose and memory.route.done
    memory.waited += waits
    if move is None or memory.waited > 40:
        memory.waited = 0
        memory.shun(purpose)
        return None
    return move


def _approach(walker: Walker) -> Move:
    """Go to the nearest cell from which a log can be hit."""
    memory = walker.memory
    spots = cache(lambda: _spots(walker))  # only a new way needs them
    move = walker.walk(("tree", len(memory.avoid)), lambda cell: cell in spots())
    route = memory.route
    if move is None:
        memory.shun(walker.player.cell)
        return Move()
    if route is None or not route.done:
        return move
    if (log := _visible(walker, leafy=True)) is not None:
        memory.target = log
        return walker.hit(log) or Move()
    memory.shun(route.path[-1])
    return move


def _spots(walker: Walker) -> set[tuple[int, int, int]]:
    """The cells under and beside logs."""
    avoid = walker.memory.avoid
    return {
        (x + dx, y - below, z + dz)
        for x, y, z in np.argwhere(walker.player.grid == LOG).tolist()
        if (x, y, z) not in avoid
        for dx, dz in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
        for below in range(-1, HIGHEST + 1)
    } - avoid
