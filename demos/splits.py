"""Which episodes of a data set are held out."""

from __future__ import annotations

import numpy as np


def split_episodes(episodes: int, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """Which of the episodes are for validation, bool [episodes]; at least one if the fraction is not 0.

    Raises:
        ValueError: if nothing would be left to train on.
    """
    count = min(max(1, round(fraction * episodes)), episodes) if fraction > 0 else 0
    if count == episodes:
        raise ValueError(f"validation={fraction} of {episodes} episodes leaves none to train on; lower it.")
    chosen = np.zeros(episodes, dtype=bool)
    chosen[generator.permutation(episodes)[:count]] = True
    return chosen


def held_out(episodes: int, share: float, seed: int) -> np.ndarray:
    """Which episodes of a data set are for validation, bool [episodes]."""
    return split_episodes(episodes, share, np.random.default_rng([seed, episodes]))
