"""Building from a plan: which block next, from where, and setting it against a face of its neighbour."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from playloop.agents.craft.paths import Cell, Ground
from playloop.agents.craft.player import FACES, Move, Player, sight
from playloop.agents.craft.walk import Stand, Walker
from playloop.envs.craft.blocks import ID, SOLID
from playloop.envs.craft.body import EYE_HEIGHT, HEIGHT, WIDTH
from playloop.envs.craft.items import ITEM
from playloop.envs.craft.rays import REACH

AIR, WATER = ID["air"], ID["water"]
PICKAXE = ITEM["iron_pickaxe"]
HOP = 1.05
"""How high the eye is near the top of a jump, above its height on the ground."""
AROUND = 4
"""Cells around a block among which a cell to stand in is looked for."""
NEAREST = 1.2
"""Blocks between the body and a cell that is filled, from middle to middle."""
CENTRED = 0.16
"""Blocks from the middle of a cell within which one stands still to work."""


def build(walker: Walker, plan: np.ndarray) -> Move:
    """A tick of building.

    Args:
        walker: who does it.
        plan: x, y, z, kind of each block, int64 [n, 4].
    """
    if move := walker.come_free():
        return move
    player, memory = walker.player, walker.memory
    wanted = {(x, y, z): kind for x, y, z, kind in plan.tolist()}
    if memory.target is not None and player.grid[memory.target] == wanted[memory.target]:
        memory.target = memory.stand = memory.route = None
        memory.idle = 0
    if memory.target is None or memory.stand is None:
        if (choice := _choose(walker, wanted)) is None:
            memory.avoid = frozenset()
            return Move()
        memory.target, memory.stand = choice
    target, stand = memory.target, memory.stand
    if move := _go(walker, stand):
        return move
    if player.grid[target] in (AIR, WATER):
        move = _place(walker, target, wanted[target], stand)
    else:
        move = _remove(walker, target)
    if move is None:
        memory.shun((target, stand))
    return move or Move()


def _choose(walker: Walker, wanted: dict[Cell, int]) -> tuple[Cell, Stand] | None:
    """The lowest block that is missing or wrong and can be reached, nearest first, and from where."""
    player = walker.player
    missing = [cell for cell, kind in wanted.items() if player.grid[cell] != kind]
    position = player.body.position
    for cell in sorted(missing, key=lambda cell: (cell[1], math.dist(position, cell))):
        spots = _spots(walker.ground, cell, position)
        for jump, spot in product((False, True), spots):
            stand = Stand(spot, jump)
            if (cell, stand) not in walker.memory.avoid and _works(player, cell, stand):
                return cell, stand
    return None


def _spots(ground: Ground, cell: Cell, position: np.ndarray) -> list[Cell]:
    """Where one can stand around a cell, nearest to the body first."""
    x, y, z = cell
    found = [
        (a, level, c)
        for a in range(x - AROUND, x + AROUND + 1)
        for c in range(z - AROUND, z + AROUND + 1)
        for level in range(y - 3, y + 2)
        if math.hypot(a - x, c - z) >= NEAREST and ground.room(a, level, c)
    ]
    return sorted(found, key=lambda spot: math.dist(position, (spot[0] + 0.5, spot[1], spot[2] + 0.5)))


def _works(player: Player, cell: Cell, stand: Stand) -> bool:
    """Whether a cell can be filled, or what is in it be hit, from a position."""
    x, y, z = stand.spot
    eye = np.array([x + 0.5, y + EYE_HEIGHT + (HOP if stand.jump else 0.0), z + 0.5])
    if np.linalg.norm(np.array(cell) + 0.5 - eye) > REACH + 0.8:
        return False
    if player.grid[cell] not in (AIR, WATER):
        return not stand.jump and sight(player.grid, eye, cell) is not None
    return _view(player, eye, cell) is not None


def _view(player: Player, eye: np.ndarray, cell: Cell) -> tuple[float, float] | None:
    """A view from an eye at a neighbour's face before which `cell` lies."""
    for face in FACES:
        behind = cell[0] - face[0], cell[1] - face[1], cell[2] - face[2]
        if SOLID[player.grid[behind]] and (look := sight(player.grid, eye, behind, before=cell)):
            return look
    return None


def _go(walker: Walker, stand: Stand) -> Move | None:
    """Walk to a cell and to its middle; None when there."""
    player, memory, spot = walker.player, walker.memory, stand.spot
    x, _, z = player.body.position
    aside = np.array([spot[0] + 0.5 - x, spot[2] + 0.5 - z])
    if memory.settled == stand and np.hypot(*aside) < 0.5:
        return None
    if player.cell != spot:
        move = walker.walk(("stand", spot), lambda cell: cell == spot)
        if move is None:
            memory.shun((memory.target, stand))
            return Move()
        if move.keys or move.look:
            return move
    slides = np.hypot(*player.body.velocity[[0, 2]])
    if np.hypot(*aside) > CENTRED:
        keys = _keys_towards(player, aside)
        return Move(keys | {"sneak"} if player.cell[1] == spot[1] else keys)  # who sneaks never steps down
    if slides > 0.03 or not player.body.on_ground:
        return Move()
    memory.settled = stand
    return None


def _keys_towards(player: Player, aside: np.ndarray) -> frozenset[str]:
    """The keys that push most nearly along a way (east, south), wherever one looks."""
    yaw = math.radians(player.body.yaw)
    ahead = -math.sin(yaw) * aside[0] + math.cos(yaw) * aside[1]
    right = -math.cos(yaw) * aside[0] - math.sin(yaw) * aside[1]
    keys = set()
    if abs(ahead) > 0.4 * abs(right):
        keys.add("forward" if ahead > 0 else "back")
    if abs(right) > 0.4 * abs(ahead):
        keys.add("right" if right > 0 else "left")
    return frozenset(keys)


def _place(walker: Walker, cell: Cell, kind: int, stand: Stand) -> Move | None:
    player = walker.player
    slot = player.slot_of(kind)
    if slot is None:
        raise ValueError(f"the plan needs a block of kind {kind} that is not in the hotbar")
    if player.selected != slot:
        return Move(frozenset({f"hotbar.{slot + 1}"}))
    eye = player.body.position + np.array([0.0, EYE_HEIGHT, 0.0])
    if stand.jump:
        eye[1] = stand.spot[1] + EYE_HEIGHT + HOP
    look = _view(player, eye, cell)
    if look is None:
        return None
    turn = player.turn_to(look)
    aimed = player.aimed(turn)
    if aimed and aimed.before == cell and max(map(abs, turn)) < 2.0 and not _in_body(player, cell):
        return Move(frozenset({"use"}), look, ends=True)
    still = max(map(abs, turn)) < 1.0
    return Move(frozenset({"jump"} if stand.jump and still and player.body.on_ground else ()), look)


def _in_body(player: Player, cell: Cell) -> bool:
    x, y, z = player.body.position
    half = WIDTH / 2 + 0.02
    beside = cell[0] + 1 <= x - half or cell[0] >= x + half or cell[2] + 1 <= z - half or cell[2] >= z + half
    return not (beside or cell[1] + 1 <= y or cell[1] >= y + HEIGHT)


def _remove(walker: Walker, cell: Cell) -> Move | None:
    player = walker.player
    slot = player.slot_of(PICKAXE)
    if slot is not None and player.selected != slot:
        return Move(frozenset({f"hotbar.{slot + 1}"}))
    return walker.hit(cell)
