"""The rows of an episode in a parquet file: found by their numbers, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def find_rows(
    episodes: np.ndarray, frames: np.ndarray, wanted: Iterable[tuple[int, int]]
) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """Where the rows of some episodes lie, in the order of their frames.

    Args:
        episodes: `episode_index` of every row, [n].
        frames: `frame_index` of every row, [n].
        wanted: number and length of each episode.

    Returns:
        By an episode's number its rows' places, int64 [length]; and by number why an episode has none.
    """
    order = np.lexsort((frames, episodes))
    sorted_episodes, sorted_frames = episodes[order], frames[order]
    found, missing = {}, {}
    for number, length in wanted:
        first, last = np.searchsorted(sorted_episodes, [number, number + 1])
        if last - first != length:
            missing[number] = f"has {last - first} rows of episode {number}, meta/episodes lists {length}"
        elif not np.array_equal(sorted_frames[first:last], np.arange(length)):
            missing[number] = f"does not number the rows of episode {number} 0, 1, … in frame_index"
        else:
            found[number] = order[first:last]
    return found, missing
