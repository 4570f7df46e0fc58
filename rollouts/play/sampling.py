"""Which frames of a clip a world at a fixed rate goes on from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

MAX_FRAMES = 64
"""Frames of a clip that are kept, its last."""
SLOWEST = 0.97
"""Share of the world's rate that a clip must have on average."""
GAP = 1.5
"""Ticks between two frames of a clip from which on something is missing between them."""

SLACK = 0.1
"""Ticks by which the first frame that is kept may come late."""


class Sampler:
    """Keeps the frames of a clip that lie nearest to the world's ticks, counted back from the clip's end.

    An action of the world lasts one tick. Neighbours that are further apart show what longer actions did:
    of a clip that is slower than the world only the last frame counts, of one with a gap what follows it.

    Args:
        end: time of the clip's last frame in seconds.
        rate: ticks a second; None takes the last frames as they are, however far apart.
    """

    def __init__(self, end: float, rate: float | None):
        self._end, self._rate = end, rate
        self._times: deque[float] = deque(maxlen=MAX_FRAMES if rate is None else 100_000)
        self._plain: deque[np.ndarray] = deque(maxlen=MAX_FRAMES)
        self._kept: dict[int, tuple[float, float, np.ndarray]] = {}

    @property
    def begin(self) -> float:
        """Frames before this time are not needed."""
        return self._end - (MAX_FRAMES + 2) / self._rate if self._rate else -np.inf

    def add(self, time: float, draw: Callable[[], np.ndarray]) -> None:
        """Take a frame in; it is drawn only if it is nearer to a tick than what is there."""
        if self._rate is None:
            self._plain.append(draw())
            return
        if time < self.begin or (self._times and time <= self._times[-1]):
            return
        self._times.append(time)
        place = (self._end - time) * self._rate
        tick = max(0, round(place))
        if tick < MAX_FRAMES and (tick not in self._kept or abs(place - tick) < self._kept[tick][0]):
            self._kept[tick] = abs(place - tick), time, draw()

    def frames(self) -> tuple[list[np.ndarray], str | None]:
        """The frames that count, one a tick, and why there are fewer than the clip could give.

        Raises:
            ValueError: there is no frame.
        """
        if not (self._kept or self._plain):
            raise ValueError("the clip holds no frame that can be decoded.")
        if self._rate is None:
            return list(self._plain), None
        begin, note = self._unbroken(self._rate)
        found: list[np.ndarray] = []
        last = int((self._end - begin) * self._rate + SLACK)
        for tick in range(min(self._kept), min(last + 1, MAX_FRAMES)):
            if tick not in self._kept or self._kept[tick][1] < begin:
                break
            found.append(self._kept[tick][2])
        return found[::-1], note

    def _unbroken(self, rate: float) -> tuple[float, str | None]:
        """Since when the clip is as fast as the world, and what is to be said about it."""
        times = np.array(self._times)
        steps = np.diff(times)
        gaps = np.flatnonzero(steps > GAP / rate)
        first = gaps[-1] + 1 if len(gaps) else 0
        count, seconds = len(times) - 1 - first, times[-1] - times[first]
        slow = count / seconds < SLOWEST * rate if count else len(times) > 1
        if slow:
            own = 1 / np.median(steps)
            return times[-1], (
                f"the clip has {own:.3g} frames a second where this world has {rate:g}: only its last frame "
                f"counts; send a clip of at least {rate:g}"
            )
        if len(gaps):
            ago = times[-1] - times[first]
            return times[first], f"the clip has a gap {ago:.2f} s before its end: only what follows counts"
        return times[0], None
