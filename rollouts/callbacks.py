"""Everything that happens around a rollout besides the rollout: one base class with empty methods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from playloop.core.episode import Episode
from playloop.core.results import EpisodeResult
from playloop.core.segment import Segment


@dataclass(frozen=True)
class Wants:
    """What a callback needs of an episode beyond actions, states and rewards.

    Args:
        frames: images of every step (each step is rendered).
        trace: simulator snapshots and privileged values of every step (nothing is rendered for it).
    """

    frames: bool = False
    trace: bool = False

    @classmethod
    def union(cls, wants: Iterable[Wants]) -> Wants:
        """What satisfies everyone."""
        wants = list(wants)
        return cls(frames=any(w.frames for w in wants), trace=any(w.trace for w in wants))


class Callback:
    """Watches a `Driver.run`; called in the parent process, in the order in which things arrive.

    `on_begin` is called again for an episode that is repeated after a crash: what was kept of its first
    attempt is then to be dropped. Segments of different episodes arrive interleaved.
    """

    def wants(self, episode: Episode) -> Wants:
        """What must come with this episode's segments; never changes physics or actions."""
        return Wants()

    def on_start(self, total: int, done: int) -> None:
        """The run begins: `total` episodes are wanted, `done` of them were finished earlier."""

    def on_begin(self, episode: Episode) -> None:
        """The episode's first observation is there."""

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        """A plan has been executed."""

    def on_end(self, result: EpisodeResult) -> None:
        """The episode is over, or given up with `result.error`."""

    def on_close(self) -> None:
        """The run is over, also after an exception."""
