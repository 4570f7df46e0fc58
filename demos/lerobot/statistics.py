"""Statistics of columns and images, gathered in constant memory."""

from __future__ import annotations

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


class RunningStatistics:
    """min, max, mean, std, count and quantiles of rows that arrive in pieces.

    All but the quantiles are exact. Quantiles are exact up to `keep` rows, then those of a uniform sample of
    that many: averages of the episodes' quantiles, as some writers store them, are not quantiles of anything.

    Args:
        generator: draws the sample.
        keep: rows in the sample.
    """

    def __init__(self, generator: np.random.Generator, keep: int = 50_000):
        self._generator, self._keep = generator, keep
        self._count = 0
        self._keys = np.empty(0)

    def update(self, values: np.ndarray) -> None:
        """Add rows [n, ...]."""
        rows = np.asarray(values, dtype=np.float64)
        if not len(rows):
            return
        if self._count == 0:
            shape = rows.shape[1:]
            self._min, self._max = np.full(shape, np.inf), np.full(shape, -np.inf)
            self._mean, self._squares = np.zeros(shape), np.zeros(shape)
            self._sample = np.empty((0, *shape))
        self._min = np.minimum(self._min, rows.min(0))
        self._max = np.maximum(self._max, rows.max(0))
        self._add_moments(rows)
        self._add_sample(rows)

    def result(self) -> dict[str, np.ndarray]:
        """Statistics by LeRobot's names; `count` has shape (1,)."""
        found = {
            "min": self._min,
            "max": self._max,
            "mean": self._mean,
            "std": np.sqrt(self._squares / self._count),
            "count": np.array([self._count], dtype=np.int64),
        }
        levels = np.quantile(self._sample, list(QUANTILES.values()), axis=0)
        return found | dict(zip(QUANTILES, levels, strict=True))

    def _add_moments(self, rows: np.ndarray) -> None:
        # Chan's update: stable where a sum of squares would cancel.
        count, mean = len(rows), rows.mean(0)
        total, delta = self._count + count, mean - self._mean
        self._squares = self._squares + ((rows - mean) ** 2).sum(0) + delta**2 * (self._count * count / total)
        self._mean = self._mean + delta * (count / total)
        self._count = total

    def _add_sample(self, rows: np.ndarray) -> None:
        # Every row gets a random key; the rows with the smallest keys are a uniform sample.
        keys = np.concatenate([self._keys, self._generator.random(len(rows))])
        sample = np.concatenate([self._sample, rows])
        if len(keys) > self._keep:
            chosen = np.argpartition(keys, self._keep)[: self._keep]
            keys, sample = keys[chosen], sample[chosen]
        self._keys, self._sample = keys, sample


def describe(values: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of the rows of one array [n, ...]; scalars count as vectors of length 1."""
    values = values.reshape(len(values), -1) if values.ndim == 1 else values
    statistics = RunningStatistics(np.random.default_rng(0), keep=max(len(values), 1))
    statistics.update(values)
    return statistics.result()


def pixels(frames: np.ndarray, stride: int = 4) -> np.ndarray:
    """Every `stride`-th pixel of frames uint8 [n, H, W, 3] as rows float64 [m, 3] in 0–1."""
    return frames[:, ::stride, ::stride].reshape(-1, 3) / 255.0


def as_image(statistics: dict[str, np.ndarray], frames: int) -> dict[str, np.ndarray]:
    """Statistics of pixels [3] in LeRobot's shape for images, (3, 1, 1), with the count of frames."""
    shaped = {name: value.reshape(3, 1, 1) for name, value in statistics.items() if name != "count"}
    return shaped | {"count": np.array([frames], dtype=np.int64)}
