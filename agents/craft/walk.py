"""Walking a way through the voxel world: steering, jumping, swimming, digging through, coming free."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from playloop.agents.craft.paths import Cell, Ground, find_path, passage
from playloop.agents.craft.player import Move, Player, strike, view_to
from playloop.envs.craft.exact import heading

FREE = frozenset({"leaves", "dirt", "grass", "sand"})
"""Blocks that a walker digs through with bare hands where no way leads around."""
PATIENCE, SHAKE = 50, 12
"""Ticks without getting nearer after which random keys are held, and for how long."""
LOOK_DOWN = 12.0
"""Pitch of a walker's view."""
FACING, SPRINTING = 50.0, 8.0
"""Degrees off the way up to which one walks, and sprints."""
FARTHEST = 10
"""Cells ahead that a walker makes for at the most, where the way is straight."""
FAR = 20_000
"""Cells that are looked at for a way."""
DROP = 2
"""Blocks down that count as a straight way."""
SIDE = 0.31
"""Half of the body's width, with some room to spare."""
STEPS = (0.3, 0.6)
"""How far ahead a rising step is jumped at, in blocks."""


@dataclass(frozen=True)
class Route:
    """A way that is being walked.

    Args:
        purpose: what it leads to; another purpose needs another way.
        path: cells of the feet.
        index: how far along.
    """

    purpose: Hashable
    path: tuple[Cell, ...]
    index: int = 0

    @property
    def done(self) -> bool:
        """Whether its end is reached."""
        return self.index == len(self.path) - 1


@dataclass(frozen=True)
class Stand:
    """From where a block is placed.

    Args:
        spot: cell of the feet.
        jump: whether one has to jump to see the face.
    """

    spot: Cell
    jump: bool


@dataclass
class Memory:
    """An episode so far.

    Args:
        turn: degrees (pitch, yaw) of the last tick.
        route: being walked.
        target: block being broken or to be placed.
        stand: from where.
        settled: the cell in whose middle the body came to rest.
        idle: ticks in which nothing got nearer.
        waited: ticks beside something that was not picked up.
        shake: keys that are held to come free, and for how many ticks.
        avoid: what did not work; it is not tried again.
    """

    turn: tuple[float, float] = (0.0, 0.0)
    route: Route | None = None
    target: Cell | None = None
    stand: Stand | None = None
    settled: Stand | None = None
    idle: int = 0
    waited: int = 0
    shake: tuple[frozenset[str], int] = (frozenset(), 0)
    avoid: frozenset[Hashable] = frozenset()

    def shun(self, what: Hashable) -> None:
        """Never try this again, and start afresh."""
        self.avoid |= {what}
        self.route = self.target = self.stand = self.settled = None
        self.idle = 0


class Walker:
    """Walks for one decision.

    Args:
        player: moves as the moves are planned.
        memory: changed in place.
        rng: of the keys that are held to come free.
        diggable: names of blocks that may be broken on the way.
        sprints: run where it is straight.
    """

    def __init__(
        self,
        player: Player,
        memory: Memory,
        rng: np.random.Generator,
        diggable: frozenset[str],
        sprints: bool,
    ):
        self.player, self.memory, self.rng, self.sprints = player, memory, rng, sprints
        self.ground = Ground(player.grid, diggable)

    def come_free(self) -> Move | None:
        """Random keys after a while in which nothing got nearer; None while all goes well."""
        memory = self.memory
        keys, left = memory.shake
        if not left and memory.idle > PATIENCE:
            side = ("left", "right", "back")[int(self.rng.integers(3))]
            keys, left = frozenset({side, "jump"}), SHAKE
            memory.idle, memory.route = 0, None
        memory.idle += 1
        memory.shake = keys, max(0, left - 1)
        return Move(keys) if left else None

    def walk(
        self,
        purpose: Hashable,
        arrived: Callable[[Cell], bool],
        guess: Callable[[Cell], float] = lambda cell: 0.0,
        limit: int = FAR,
    ) -> Move | None:
        """A tick on the way to the nearest cell that has `arrived`; None where there is no way.

        At the end of the way the move holds no key. See `find_path` for `guess` and `limit`.
        """
        route, memory = self._progress(purpose), self.memory
        if route is None:
            start = self._start()
            if start is None:
                return Move()  # in the air: wait for the ground
            path = find_path(self.ground, start, arrived, guess, limit)
            if path is None:
                return None
            route = memory.route = Route(purpose, tuple(path))
            memory.idle = 0
        if route.done:
            return Move(frozenset({"jump"} if self.player.swims else ()))
        return self._follow(route)

    def hit(self, cell: Cell) -> Move | None:
        """A tick of breaking a block, which is never idle; None if it is out of sight."""
        move = strike(self.player, cell)
        if move and "attack" in move.keys:
            self.memory.idle = 0
        return move

    def _start(self) -> Cell | None:
        """The cell in which the feet rest, if they do."""
        x, y, z = self.player.cell
        if self.ground.room(x, y, z):
            return x, y, z
        if not self.player.body.on_ground and not self.player.swims:
            return None
        position = self.player.body.position
        around = [(x + dx, y, z + dz) for dx in (-1, 0, 1) for dz in (-1, 0, 1)]
        around = [cell for cell in around if self.ground.room(*cell)]
        return min(around, key=lambda cell: _distance(position, cell), default=(x, y, z))

    def _progress(self, purpose: Hashable) -> Route | None:
        """The route with the index where the body is now; None if it leads elsewhere or was left."""
        route, memory = self.memory.route, self.memory
        if route is None or route.purpose != purpose:
            return None
        x, y, z = self.player.cell
        ahead = range(min(route.index + FARTHEST, len(route.path) - 1), route.index - 1, -1)
        here = next((j for j in ahead if (route.path[j][0], route.path[j][2]) == (x, z)), None)
        if here is None:
            near = route.path[route.index : route.index + FARTHEST]
            off = min(_distance(self.player.body.position, cell) for cell in near) > 1.6
            return None if off else route
        if self.player.body.on_ground and y < route.path[here][1]:
            return None
        if here > route.index:
            memory.route = route = replace(route, index=here)
            memory.idle = 0
        return route

    def _follow(self, route: Route) -> Move:
        cell, following = route.path[route.index : route.index + 2]
        player, swims = self.player, self.player.swims
        blocked = [other for other in passage(cell, following) if self.ground.solid(*other)]
        if blocked:
            return self._dig(blocked[0], swims)
        goal = self._farthest(route)
        point = np.array([goal[0] + 0.5, 0.0, goal[2] + 0.5])
        position = player.body.position
        yaw = view_to(position * [1, 0, 1], point)[1]
        off = abs((yaw - player.body.yaw + 180.0) % 360.0 - 180.0)
        keys = {"forward"} if off < FACING else set()
        climbs = following[1] > max(cell[1], player.cell[1]) and _distance(position, following) < 1.3
        if swims or (off < 30.0 and (climbs or self._rises(yaw))):
            keys.add("jump")
        if self.sprints and _distance(position, goal) > 3.0 and not swims and off < SPRINTING:
            keys.add("sprint")
        return Move(frozenset(keys), (LOOK_DOWN, yaw))

    def _dig(self, cell: Cell, swims: bool) -> Move:
        move = self.hit(cell) or Move(look=view_to(self.player.body.eye, np.array(cell) + 0.5))
        return replace(move, keys=move.keys | {"jump"}) if swims else move

    def _farthest(self, route: Route) -> Cell:
        """The farthest cell of the way to which one can walk straight, up and down single blocks."""
        first = route.index + 1
        ahead = route.path[first : route.index + FARTHEST + 1]
        straight = list(takewhile(self._straight, ahead))
        return straight[-1] if straight else route.path[first]

    def _straight(self, cell: Cell) -> bool:
        x, _, z = self.player.body.position
        across, along = cell[0] + 0.5 - x, cell[2] + 0.5 - z
        level = self.player.cell[1]
        for share in np.linspace(0.0, 1.0, 1 + max(2, int(math.hypot(across, along) * 2.5)))[1:]:
            levels = self._footing(x + share * across, level, z + share * along)
            if levels is None:
                return False
            level = max(levels)
        return level == cell[1]

    def _footing(self, x: float, level: int, z: float) -> list[int] | None:
        """Where the corners of a body that comes from `level` would rest; None if it cannot be there."""
        found = []
        for dx, dz in ((-SIDE, -SIDE), (SIDE, -SIDE), (-SIDE, SIDE), (SIDE, SIDE)):
            height = self._rest(math.floor(x + dx), level, math.floor(z + dz))
            if height is None:
                return None
            found.append(height)
        return found

    def _rest(self, x: int, level: int, z: int) -> int | None:
        ground = self.ground
        for height in range(level + 1, level - DROP - 1, -1):
            if ground.solid(x, height, z) or ground.wet(x, height, z):
                return None
            if ground.solid(x, height - 1, z):
                return None if ground.solid(x, height + 1, z) else height
        return None

    def _rises(self, yaw: float) -> bool:
        """Whether the ground a step ahead is a block higher."""
        x, _, z = self.player.body.position
        (sine, cosine), level = heading(yaw), self.player.cell[1]
        steps = (self._footing(x - sine * reach, level, z + cosine * reach) for reach in STEPS)
        return any(levels is not None and max(levels) > level for levels in steps)


def _distance(position: np.ndarray, cell: Cell) -> float:
    """Over the ground, to a cell's middle."""
    return math.hypot(cell[0] + 0.5 - position[0], cell[2] + 0.5 - position[2])
