"""Frames and actions of several data sets, for models that learn from whole episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from playloop.demos.frames import FrameCache
from playloop.demos.open import open_demonstrations
from playloop.rollouts.provenance import git_commit, hardware, versions
from playloop.training.data import Stacked, split_episodes


@dataclass(frozen=True)
class FrameDataConfig:
    """Which frames.

    Args:
        data: folders of data sets, or of VPT recordings; their episodes are taken together.
        camera: of a LeRobot data set, "" for its first.
        validation: share of the episodes of every data set that is held out.
        seed: of the split.
        processes: decode with so many when the caches have to be made.
        on_corrupt: "refuse" or "skip".
        cache: folder of the image caches; the data sets' own if not given.
    """

    data: tuple[str, ...]
    camera: str = ""
    validation: float = 0.03
    seed: int = 0
    processes: int = 2
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    cache: str | None = None


class FrameData:
    """Frames uint8 [N, h, w, 3] of all data sets one behind the other, and where episodes begin.

    Args:
        config: which.
        size: height and width of the frames.

    Raises:
        ValueError: no data set, or one without frames.
    """

    def __init__(self, config: FrameDataConfig, size: tuple[int, int]):
        paths: Sequence[str] = [config.data] if isinstance(config.data, str) else config.data
        if not paths:
            raise ValueError("data is empty; name at least one folder that `playloop record` wrote.")
        self.config, self.size = config, size
        self.datasets: list[Any] = [open_demonstrations(path, config.on_corrupt) for path in paths]
        self.caches = [self._cache(dataset) for dataset in self.datasets]
        self.frames = Stacked([cache.array for cache in self.caches])
        starts = np.cumsum([0, *(dataset.length for dataset in self.datasets)])
        self.starts = np.concatenate(
            [dataset.starts[:-1] + start for dataset, start in zip(self.datasets, starts, strict=False)]
        )
        self.lengths = np.concatenate([np.diff(dataset.starts) for dataset in self.datasets])
        self.held_out = np.concatenate([self._held_out(dataset) for dataset in self.datasets])

    def _cache(self, dataset: Any) -> FrameCache:
        if not dataset.cameras:
            raise ValueError(f"{dataset.root} has no video; a model of frames cannot learn from it.")
        camera = self.config.camera or dataset.cameras[0]
        return FrameCache(dataset, camera, self.size, self.config.processes, self.config.cache)

    def _held_out(self, dataset: Any) -> np.ndarray:
        generator = np.random.default_rng([self.config.seed, len(dataset.episodes)])
        return split_episodes(len(dataset.episodes), self.config.validation, generator)

    def column(self, name: str) -> np.ndarray:
        """A column of all data sets, [N, ...]."""
        return np.concatenate([dataset.column(name) for dataset in self.datasets])

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the frames of "train" or "validation", int64 [n]."""
        return self.clips(split, 1)

    def clips(self, split: str, length: int) -> np.ndarray:
        """First frames of all clips of `length` frames that lie within one episode of the split, int64 [n].

        Raises:
            ValueError: no episode is long enough to train on.
        """
        chosen = (self.held_out == (split == "validation")) & (self.lengths >= length)
        pieces = [
            np.arange(start, start + count - length + 1)
            for start, count in zip(self.starts[chosen], self.lengths[chosen], strict=True)
        ]
        if not pieces and split == "train":
            raise ValueError(f"no episode has {length} frames; record longer ones or shorten the clip")
        return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, np.int64)

    @property
    def identities(self) -> list[str]:
        """One name a data set that changes with it."""
        return [dataset.identity for dataset in self.datasets]

    def provenance(self, command: str) -> dict[str, Any]:
        """What was trained on, by whom and with what, for a model's `training.json`."""
        data = [
            {
                "name": Path(dataset.root).name,
                "identity": dataset.identity,
                "episodes": len(dataset.episodes),
                "rows": dataset.length,
                "recorded": {n: v for n, v in dataset.playloop.items() if n in ("command", "seed", "counts")},
            }
            for dataset in self.datasets
        ]
        asked = {"command": command, "seed": self.config.seed, "data": data}
        return asked | {"git": git_commit(), "versions": versions(), "hardware": hardware()}


def spread(rows: int, size: int, batches: int, number: int) -> np.ndarray:
    """Places of validation batch `number`: evenly spaced over the rows, each at most once, int64 [size]."""
    return (np.arange(size) * batches + number) * rows // (size * batches)
