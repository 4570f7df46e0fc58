"""What every task of recorded data has: settings, rows of several data sets, batches ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from playloop.core.annotations import Fraction, Natural
from playloop.core.checked import checked
from playloop.core.provenance import git_commit, hardware, versions
from playloop.training.task import Share

Item = TypeVar("Item")


@checked(kw_only=True)
class DataTaskConfig:
    """What is learned from; the configuration of a task adds the model.

    Args:
        data: folders of data sets; their episodes are taken together, those of one named twice twice.
        validation: share of the episodes of every data set that is held out.
        seed: of the split and the initial weights.
        processes: decode with so many when the caches have to be made.
        on_corrupt: "refuse" or "skip", as in `Demonstrations`.
        cache: folder of what is made of the recordings; the data sets' own if not given.
        command: how the run was started; written into the checkpoint.
    """

    data: list[str]
    validation: Fraction = 0.05
    seed: int = 0
    processes: Natural = 2
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    cache: str | None = None
    command: str = ""

    def __post_init__(self) -> None:
        check_sets(self.data)

    def settings(self) -> dict[str, Any]:
        """See `TaskConfig`; a task's own configuration adds to it."""
        return {"validation": self.validation, "seed": self.seed}


class DataTask:
    """What the tasks of recorded data share; see `TrainingTask`.

    A task adds `model`, a `batch` of what lies at the rows that `choose` gives, its `loss` and its `save`.

    Attributes:
        config: of the task; what it adds to `DataTaskConfig` is in its `settings`.
        datasets: that are learned from.
        rows: numbers of the rows of "train" and "validation" over all data sets, int64.
    """

    config: DataTaskConfig
    datasets: Sequence[Any]
    rows: dict[str, np.ndarray]
    model: nn.Module

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        self.model.to(device)
        self.dtype = dtype

    def describe(self) -> dict[str, Any]:
        return {"data": [dataset.identity for dataset in self.datasets]} | self.config.settings()

    def choose(self, split: str, step: int, generator: torch.Generator, share: Share) -> np.ndarray:
        """A batch's rows of this process, int64 [B]: any, or evenly spaced held-out ones, once at most."""
        numbers, size = self.rows[split], share.size
        if split == "train":
            chosen = torch.randint(len(numbers), (size,), generator=generator)
        else:
            batches = self.validation_batches(size)
            chosen = (torch.arange(size) * batches + step) * len(numbers) // (size * batches)
        return numbers[share.of(chosen).numpy()]

    def training_rows(self) -> int:
        return len(self.rows["train"])

    def validation_batches(self, size: int) -> int:
        """At most eight: more would cost time and show little more."""
        return min(8, -(-len(self.rows["validation"]) // size))

    def provenance(self) -> dict[str, Any]:
        """What was trained on, by whom and with what, for a model's `training.json`."""
        data = [
            {
                "name": dataset.root.name,
                "identity": dataset.identity,
                "episodes": len(dataset.episodes),
                "rows": dataset.length,
                "recorded": {name: v for name, v in dataset.playloop.items() if name != "contract"},
            }
            for dataset in self.datasets
        ]
        return {
            "command": self.config.command,
            "seed": self.config.seed,
            "held_out": self.config.validation,
            "data": data,
            **{f"{split}_rows": len(rows) for split, rows in self.rows.items()},
            "git": git_commit(),
            "versions": versions(),
            "hardware": hardware(),
        }


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


def check_sets(paths: Sequence[str]) -> None:
    """Refuse data of a training that names no folder.

    A folder may be named several times, so that it weighs more: which of its episodes are held out follows
    from their number and the seed, and is the same each time.

    Raises:
        ValueError: says so.
    """
    if not paths:
        raise ValueError("data is empty; name at least one folder that `playloop record` wrote.")


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
