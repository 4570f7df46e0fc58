"""An evaluation in parts, for as many machines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from playloop.core.episode import Episode
from playloop.rollouts.video import FAILURES, choose_videos


@dataclass(frozen=True)
class Shard:
    """A part of an evaluation: the `number`-th (from 1) of `count` equal ones."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of "2/4".

        >>> Shard.parse("2/4")
        Shard(number=2, count=4)

        Raises:
            ValueError: it is no such text.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise ValueError(f"shard={text} is none; write i/n with i from 1 to n: shard=1/4 to shard=4/4.")
        return cls(number, count)

    def of(self, episodes: Iterable[Episode]) -> list[Episode]:
        """This shard's episodes, in the order of their identities.

        They are dealt like cards, so that every shard has its share of all tasks. Which are whose follows
        from the selection and `count` alone; all shards together have each episode once.
        """
        return sorted(episodes)[self.number - 1 :: self.count]

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def deal(episodes: Sequence[Episode], shard: str | None, videos: Any) -> tuple[Sequence[Episode], Any]:
    """A shard's episodes, and whose videos are kept: in all shards together those of the whole evaluation.

    Args:
        episodes: of the whole.
        shard: "i/n"; None for the whole.
        videos: see `choose_videos`.

    Raises:
        ValueError: there is no such shard, or no episode for it.
    """
    if shard is None:
        return episodes, videos
    one = Shard.parse(shard)
    mine = one.of(episodes)
    if not mine:
        raise ValueError(f"shard={shard} has no episode, for there are {len(episodes)}; make fewer shards.")
    if videos in (FAILURES, "all", "none", None, False):
        return mine, videos
    chosen = choose_videos(episodes, videos)
    return mine, sorted(episode.key for episode in mine if episode in chosen) or "none"
