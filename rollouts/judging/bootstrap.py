"""How sure one may be of a mean over clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

RESAMPLES = 2000
LEVEL = 95.0


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
    """Of numbers [clips, frames]: "mean" over both, and "frames", over the clips at every frame."""
    return {"mean": mean_interval(values.mean(1)), "frames": [mean_interval(column) for column in values.T]}


def _record(value: float, drawn: np.ndarray) -> dict[str, float]:
    tail = (100 - LEVEL) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail]) if len(drawn) else (np.nan, np.nan)
    return {"value": value, "low": float(low), "high": float(high)}
