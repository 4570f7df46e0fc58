"""A steady tick that lateness does not add up in."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pacer:
    """Says how long to wait for the next tick.

    Ticks lie on a grid: one that comes late shortens the wait for the next. Whoever is more than a tick late
    starts a new grid instead of hurrying after the old one.

    Args:
        rate: ticks a second.
        clock: seconds, for tests.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.perf_counter):
        self.period = 1.0 / rate
        self._clock = clock
        self.due = clock()

    def left(self) -> float:
        """Seconds until the next tick is due; 0 when it is."""
        return max(0.0, self.due - self._clock())

    def tick(self) -> None:
        """The tick that was due begins now."""
        self.due += self.period
        if self._clock() > self.due:
            self.due = self._clock()

    def restart(self) -> None:
        """Begin anew: the next tick is due now."""
        self.due = self._clock()
