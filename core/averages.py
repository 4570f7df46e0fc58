"""Averages as benchmarks publish them: means of means, whose groups weigh alike however large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playloop.core.statistics import wilson

Average = dict[str, Any]
"""What `mean_of_means` gives; kept in a summary as it is."""


def rate_of(label: str, successes: Sequence[bool]) -> Average:
    """A plain success rate, as a part of an average."""
    trials = len(successes)
    return _average(label, sum(successes) / trials, float(trials), trials, {}, complete=True)


def mean_of_means(label: str, parts: Sequence[Average], published: int | None = None) -> Average:
    """The unweighted mean of rates or of means.

    Args:
        label: what this average is called; it says of what it is one.
        parts: at least one.
        published: episodes that the protocol has in all of it; None: as many as complete parts have.

    Returns:
        "label", "rate", "wilson95", "episodes", "complete" (all of the protocol's episodes are judged),
        "effective" and the parts' rates as "groups". The interval is Wilson's for the effective number of
        episodes (Kish): for equal groups their plain sum; unequal groups make it smaller.
    """
    if not parts:
        raise ValueError(f"{label}: an average needs at least one group of episodes")
    rate = sum(part["rate"] for part in parts) / len(parts)
    effective = len(parts) ** 2 / sum(1 / part["effective"] for part in parts)
    episodes = sum(part["episodes"] for part in parts)
    complete = all(part["complete"] for part in parts) and published in (None, episodes)
    groups = {part["label"]: part["rate"] for part in parts}
    return _average(label, rate, effective, episodes, groups, complete)


def _average(
    label: str, rate: float, effective: float, episodes: int, groups: Mapping[str, float], complete: bool
) -> Average:
    return {
        "label": label,
        "rate": rate,
        "wilson95": list(wilson(rate * effective, effective)),
        "episodes": episodes,
        "complete": complete,
        "effective": effective,
        "groups": dict(groups),
    }
