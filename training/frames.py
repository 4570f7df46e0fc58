"""Frames and actions of several data sets, for models that learn from whole episodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.annotations import Fraction
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.demos.arrays import made_once, open_filled
from playloop.demos.frames import FrameCache
from playloop.demos.open import open_demonstrations
from playloop.demos.splits import check_steps, held_out
from playloop.tokenizers.minecraft import CompactActions, MineWorldActions
from playloop.training.data import DataTask, DataTaskConfig, Stacked
from playloop.training.task import Share

STARTS = 64
"""Clips of the training data with which the finished model can begin to play."""
PIECE = 256
"""Frames that are made tokens at a time where they are small."""


@checked(kw_only=True)
class FrameTaskConfig(DataTaskConfig):
    """Which frames a model learns from; the configuration of a task adds the model.

    Args:
        data: folders of data sets, or of VPT recordings; their episodes are taken together, those
            of one named twice twice.
        start: folder of a model of the kind whose weights training begins with; None for new ones.
        camera: of a LeRobot data set, "" for its first.
    """

    start: str | None = None
    camera: str = ""
    validation: Fraction = 0.03

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"start": self.start}


class EpisodeData:
    """The episodes of all data sets one behind the other, N rows; no picture is read.

    Args:
        config: which.
        size: height and width at which frames are learned.

    Raises:
        ValueError: a data set has no such camera.
    """

    def __init__(self, config: FrameTaskConfig, size: tuple[int, int]):
        self.config, self.size = config, size
        self.datasets: list[Any] = [open_demonstrations(path, config.on_corrupt) for path in config.data]
        self.cameras = [self._camera(dataset) for dataset in self.datasets]
        starts = np.cumsum([0, *(dataset.length for dataset in self.datasets)])
        self.starts = np.concatenate(
            [dataset.starts[:-1] + start for dataset, start in zip(self.datasets, starts, strict=False)]
        )
        self.lengths = np.concatenate([np.diff(dataset.starts) for dataset in self.datasets])
        split = config.validation, config.seed
        self.held_out = np.concatenate([held_out(len(d.episodes), *split) for d in self.datasets])

    def _camera(self, dataset: Any) -> str:
        if not dataset.cameras:
            raise ValueError(f"{dataset.root} has no video; a model of frames cannot learn from it.")
        camera = self.config.camera or dataset.cameras[0]
        if camera not in dataset.cameras:
            raise ValueError(f"{dataset.root} has no camera {camera!r}; it has {', '.join(dataset.cameras)}")
        return camera

    def actions(self) -> np.ndarray:
        """Action vectors of MineRL, float32 [N, 25].

        Raises:
            ValueError: a data set was recorded with others, or not with every action.
        """
        for dataset in self.datasets:
            check_steps(dataset)
        return np.concatenate([dataset.column("action") for dataset in self.datasets])

    def contract(self) -> Contract:
        """The first data set's, with the one camera that is learned, at the size at which it is learned."""
        camera = self.cameras[0].removeprefix("observation.images.")
        return replace(self.datasets[0].contract, cameras={camera: self.size})

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

    def beginnings(self, length: int) -> np.ndarray:
        """First rows int64 [STARTS] of training clips that play can begin with, spread over the data."""
        first = self.clips("train", length)
        return first[np.arange(STARTS) * len(first) // STARTS]


class FrameData(EpisodeData):
    """The frames too, uint8 [N, h, w, 3]; caches of them are made if they are missing."""

    def __init__(self, config: FrameTaskConfig, size: tuple[int, int]):
        super().__init__(config, size)
        self.caches = [
            FrameCache(dataset, camera, size, config.processes, config.cache)
            for dataset, camera in zip(self.datasets, self.cameras, strict=True)
        ]
        self.frames = Stacked([cache.array for cache in self.caches])


class EpisodeTask(DataTask):
    """A `DataTask` whose rows are the first ones of clips within an episode.

    Args:
        config: of the task.
        data: the episodes.
        length: of the clips that are learned from.
    """

    def __init__(self, config: FrameTaskConfig, data: EpisodeData, length: int):
        self.data, self.config, self.datasets = data, config, data.datasets
        self.rows = {split: data.clips(split, length) for split in ("train", "validation")}


class ClipTask(EpisodeTask):
    """An `EpisodeTask` of clips of frame tokens and the actions between them, as every world model learns.

    Args:
        config: of the task.
        data: the episodes.
        length: T, frames of a clip.
        form: of the model's actions.
        tokens: of the frames of each data set, int16 [n, N]; they are made once all else is known to fit.
    """

    def __init__(
        self,
        config: FrameTaskConfig,
        data: EpisodeData,
        length: int,
        form: CompactActions | MineWorldActions,
        tokens: Iterable[np.ndarray],
    ):
        super().__init__(config, data, length)
        self.length = length
        self.actions = form.encode(data.actions()).astype(np.int16)
        self.tokens = Stacked(list(tokens))

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "tokens" int64 [B, T, N], "actions" int64 [B, T - 1, A]."""
        tokens, actions = self._clips(self.choose(split, step, generator, share), self.length)
        return {"tokens": tokens, "actions": actions}

    def beginnings(self, length: int) -> tuple[Tensor, Tensor]:
        """Clips of training data to begin play with: tokens [S, length, N], actions [S, length - 1, A]."""
        return self._clips(self.data.beginnings(length), length)

    def _clips(self, first: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        rows = first[:, None] + np.arange(length)  # [B, T]
        tokens = self.tokens.gather(rows.flatten()).reshape(*rows.shape, -1)
        return torch.from_numpy(tokens).long(), torch.from_numpy(self.actions[rows[:, :-1]]).long()


def cached_tokens(
    folder: Path, name: str, length: int, pieces: Iterable[np.ndarray], tokenizer: Any, device: str = "cpu"
) -> np.ndarray:
    """Tokens of frames, int16 [length, N], memory-mapped; encoded if their file is not there yet.

    Args:
        folder: of the caches.
        name: that changes with the frames; the file's changes with what the tokenizer does, too.
        length: number of frames.
        pieces: the frames in their order, uint8 [n, H, W, 3] each; taken from only to encode.
        tokenizer: a `FrameTokenizer` or `VQTokenizer`, whose codes fit into 16 bits.
        device: that it is on.

    Raises:
        OSError: as `made_once`.
        ValueError: likewise, or there is another number of frames.
    """
    path = folder / f"tokens-{tokenizer.encoding()}-{name}.npy"

    def fill(target: Path) -> None:
        array, done = open_filled(target), 0
        for images in pieces:
            found = tokenizer.encode(torch.from_numpy(images).to(device)).cpu().numpy()
            array[done : done + len(found)] = found
            done += len(found)
        if done != length:
            raise ValueError(f"{path} is for {length} frames, and {done} were read; check the data set")
        array.flush()

    return made_once(path, (length, tokenizer.tokens), np.int16, fill)
