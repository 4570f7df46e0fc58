"""Rows of several data sets as batches, gathered ahead of time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Item = TypeVar("Item")


class Stacked:
    """Arrays of the same row shape, one behind the other, without copying them together.

    Args:
        arrays: [N_i, ...], memory-mapped or not.
    """

    def __init__(self, arrays: Sequence[np.ndarray]):
        self._arrays = arrays
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """The rows [n, ...] with these numbers, in this order."""
        if len(self._arrays) == 1:
            return self._arrays[0][rows]
        found = np.empty((len(rows), *self._arrays[0].shape[1:]), self._arrays[0].dtype)
        source = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(source):
            chosen = source == number
            found[chosen] = self._arrays[number][rows[chosen] - self._starts[number]]
        return found

    def resident(self, device: torch.device) -> Tensor:
        """All rows as one tensor on `device`."""
        target = torch.empty((len(self), *self._arrays[0].shape[1:]), dtype=torch.uint8, device=device)
        for array, start in zip(self._arrays, self._starts[:-1], strict=True):
            for first in range(0, len(array), 1024):
                piece = torch.from_numpy(np.array(array[first : first + 1024]))
                target[start + first : start + first + len(piece)] = piece.to(device)
        return target


def named_sets(data: str | Sequence[str]) -> list[str]:
    """The folders of a training's data, one or several.

    Raises:
        ValueError: none is named, or one twice: what is held out of one would be learned in the other.
    """
    paths = [data] if isinstance(data, str) else list(data)
    if not paths:
        raise ValueError("data is empty; name at least one folder that `playloop record` wrote.")
    real = [os.path.realpath(path) for path in paths]
    for number, path in enumerate(real):
        if path in real[:number]:
            raise ValueError(
                f"data names {paths[number]} twice: episodes that are held out of one would be learned in "
                "the other; name it once."
            )
    return paths


def prefetch(make: Callable[[int], Item], steps: range, ahead: int = 2) -> Generator[Item, None, None]:
    """`make(step)` for each step, computed up to `ahead` steps early by a thread; errors are raised here."""
    pool, later = ThreadPoolExecutor(1, "prefetch"), iter(steps)
    try:
        waiting = deque(pool.submit(make, step) for step in islice(later, ahead + 1))
        while waiting:
            item = waiting.popleft().result()
            waiting.extend(pool.submit(make, step) for step in islice(later, 1))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
