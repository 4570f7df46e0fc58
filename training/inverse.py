"""Train an inverse-dynamics model on recorded frames and actions."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.record import to_record
from playloop.training.frames import EpisodeTask, FrameData, FrameTaskConfig
from playloop.training.start import take_over
from playloop.training.task import Share
from playloop.worlds.checkpoint import load_inverse, save_part
from playloop.worlds.inverse import InverseConfig, InverseModel, key_classes, windows


@kind("train-inverse")
@checked(kw_only=True)
class InverseTaskConfig(FrameTaskConfig):
    """What an inverse-dynamics model learns from: recordings with the actions of MineRL.

    Args:
        model: sizes.
    """

    model: InverseConfig = field(default_factory=InverseConfig)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"model": to_record(self.model)}

    def make(self) -> InverseTask:
        """The task; image caches are made if missing.

        Raises:
            ValueError: the data sets' actions are not MineRL's.
        """
        return InverseTask(self)


class InverseTask(EpisodeTask):
    """A `TrainingTask`: an `InverseModel`, and every step of the data with the frames around it."""

    config: InverseTaskConfig
    model: InverseModel
    data: FrameData

    def __init__(self, config: InverseTaskConfig):
        self.config = config
        self.model = config.model.make(config.seed)
        if config.start:
            take_over(self.model, load_inverse(config.start), config.start)
        super().__init__(config, FrameData(config, (config.model.height, config.model.width)), 2)
        vectors = self.data.actions()
        self.keys = key_classes(self.model.actions, vectors)
        self.turn = vectors[:, -2:].astype(np.float32)

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "frames" uint8 [B, K, H, W, 3], "keys" int64 [B, 7], "turn" float32 [B, 2]."""
        return self.gather(self.choose(split, step, generator, share))

    def gather(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The steps that begin at these frames."""
        episode = np.searchsorted(self.data.starts, rows, side="right") - 1
        first = self.data.starts[episode]
        seen = windows(self.config.model, rows, first, first + self.data.lengths[episode])
        frames = self.data.frames.gather(seen.ravel()).reshape(*seen.shape, *self.data.size, 3)
        found = {"frames": frames, "keys": self.keys[rows], "turn": self.turn[rows]}
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, self.dtype, generator if self.model.training else None)

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        save_part(folder, self.config.model, state, self.provenance() | record)
