"""Success rates, their differences and averages, and means over clips, with how sure one may be of each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

Average = dict[str, Any]
"""What `mean_of_means` gives; kept in a summary as it is."""
RESAMPLES = 2000
LEVEL = 95.0


def wilson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; (0, 1) where nothing was tried.

    Trials may be an effective number, and then both are no whole numbers.

    >>> low, high = wilson(18, 20)
    >>> round(low, 3), round(high, 3)
    (0.699, 0.972)
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials cannot be")
    if trials == 0:
        return 0.0, 1.0
    z = _quantile(confidence)
    rate, weight = successes / trials, z * z / trials
    centre = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(rate * (1 - rate) / trials + weight / (4 * trials))
    # The ends are exact where the formula only rounds to them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test from the two counts of discordant pairs.

    The null hypothesis: either of the two is as likely to be the one that succeeds alone.

    >>> round(mcnemar_exact(2, 12), 4)
    0.0129
    """
    trials = only_first + only_second
    tail = sum(math.comb(trials, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**trials)


@dataclass(frozen=True)
class Pairs:
    """Counts of paired outcomes: of both, of the first only, of the second only, of neither."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def total(self) -> int:
        """Episodes that both have."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def first(self) -> int:
        """Successes of the first."""
        return self.both + self.only_first

    @property
    def second(self) -> int:
        """Successes of the second."""
        return self.both + self.only_second


def count_pairs(outcomes: Iterable[tuple[bool, bool]]) -> Pairs:
    """Counts of paired outcomes, the first's success beside the second's."""
    seen = Counter(outcomes)
    return Pairs(seen[True, True], seen[True, False], seen[False, True], seen[False, False])


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's correction of several p values: each is below a level as often by chance as one alone would be.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order, corrected, largest = sorted(range(len(ps)), key=ps.__getitem__), [0.0] * len(ps), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(ps) - rank) * ps[index])
        corrected[index] = min(1.0, largest)
    return corrected


def paired_difference(pairs: Pairs, confidence: float = 0.95) -> tuple[float, float, float]:
    """First rate minus second rate with its interval: (difference, low, high).

    Newcombe's hybrid score interval for paired proportions (1998, method 10: square-and-add of the two Wilson
    intervals, with the continuity-corrected correlation of the pairs). It stays sensible for small counts and
    for rates near 0 and 1, where Wald's does not.
    """
    total = pairs.total
    if total == 0:
        return 0.0, -1.0, 1.0
    first, second = pairs.first / total, pairs.second / total
    low_first, high_first = wilson(pairs.first, total, confidence)
    low_second, high_second = wilson(pairs.second, total, confidence)
    phi, difference = _correlation(pairs), first - second
    down = _combine(first - low_first, high_second - second, phi)
    up = _combine(high_first - first, second - low_second, phi)
    return difference, max(-1.0, difference - down), min(1.0, difference + up)


def _combine(left: float, right: float, phi: float) -> float:
    return math.sqrt(max(0.0, left * left - 2 * phi * left * right + right * right))


def _correlation(pairs: Pairs) -> float:
    total = pairs.total
    margins = pairs.first * (total - pairs.first) * pairs.second * (total - pairs.second)
    if margins == 0:
        return 0.0
    covariance: float = pairs.both * pairs.neither - pairs.only_first * pairs.only_second
    if covariance > 0:
        covariance = max(0.0, covariance - total / 2)
    return covariance / math.sqrt(margins)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


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


def resamples(count: int, times: int = RESAMPLES) -> np.ndarray:
    """Clips drawn with replacement, int64 [times, count]; the same for the same count."""
    return np.random.default_rng(count).integers(count, size=(times, count))


def mean_interval(values: np.ndarray) -> dict[str, float]:
    """Mean of one number a clip [n], with the percentile bootstrap's 95 % interval over the clips."""
    values = np.asarray(values, np.float64)
    means = values[resamples(len(values))].mean(1)
    return _record(float(values.mean()), means)


def intervals(
    statistic: Callable[[np.ndarray], dict[str, float]], count: int, times: int = 300
) -> dict[str, dict[str, float]]:
    """Any statistics of chosen clips int64 [n], each with its bootstrap interval.

    Args:
        statistic: of the clips with these numbers, some of them several times.
        count: clips.
        times: resamples; fewer than for means, because a statistic may take milliseconds.
    """
    drawn = [statistic(chosen) for chosen in resamples(count, times)]
    found = statistic(np.arange(count))
    return {name: _record(value, np.array([one[name] for one in drawn])) for name, value in found.items()}


def by_frame(values: np.ndarray) -> dict[str, Any]:
    """Numbers [clips, frames] as "mean", over both, and "frames", over the clips at every frame."""
    return {"mean": mean_interval(values.mean(1)), "frames": [mean_interval(column) for column in values.T]}


def _record(value: float, drawn: np.ndarray) -> dict[str, float]:
    tail = (100 - LEVEL) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail]) if len(drawn) else (np.nan, np.nan)
    return {"value": value, "low": float(low), "high": float(high)}
