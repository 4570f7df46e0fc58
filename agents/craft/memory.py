"""What a voxel expert remembers from one decision to the next: its carry."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from playloop.agents.craft.paths import Cell


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
