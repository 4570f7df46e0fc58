"""Train an inverse-dynamics model on recorded frames and actions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from playloop.envs.minecraft import ACTION_SIZE
from playloop.nn.record import to_record
from playloop.training.frames import FrameData, FrameDataConfig, spread
from playloop.training.task import Share
from playloop.worlds.inverse import InverseConfig, key_classes, windows
from playloop.worlds.inverse_checkpoint import load_inverse, save_inverse


@dataclass
class InverseTaskConfig:
    """What an inverse-dynamics model learns from.

    Args:
        data: folders of data sets or of VPT recordings, with the actions of MineRL.
        model: sizes.
        start: folder of a model whose weights training begins with; None for new ones.
        camera: see `FrameDataConfig`, as are the rest.
        validation: share of held-out episodes.
        seed: of the split and the initial weights.
        processes: that decode videos, once.
        on_corrupt: "refuse" or "skip".
        cache: folder of decoded images; None for the data sets' own.
        command: how the run was started; written into the checkpoint.
    """

    data: list[str]
    model: InverseConfig = field(default_factory=InverseConfig)
    start: str | None = None
    camera: str = ""
    validation: float = 0.03
    seed: int = 0
    processes: int = 2
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    cache: str | None = None
    command: str = ""

    def make(self) -> InverseTask:
        """The task; image caches are made if missing.

        Raises:
            ValueError: the data sets' actions are not MineRL's.
        """
        return InverseTask(self)

    def frame_data(self) -> FrameDataConfig:
        """The part that names the frames."""
        names = ("camera", "validation", "seed", "processes", "on_corrupt", "cache")
        return FrameDataConfig(tuple(self.data), **{name: getattr(self, name) for name in names})


class InverseTask:
    """A `Task`: an `InverseModel`, and every step of the data with the frames around it."""

    def __init__(self, config: InverseTaskConfig):
        self.config = config
        self.model = config.model.make(config.seed)
        if config.start:
            self.model.load_state_dict(load_inverse(config.start).state_dict())
        self.data = FrameData(config.frame_data(), (config.model.height, config.model.width))
        for dataset in self.data.datasets:
            if dataset.features.get("action", {}).get("shape") != [ACTION_SIZE]:
                raise ValueError(f"{dataset.root} has no actions of MineRL, float32 [{ACTION_SIZE}].")
        vectors = self.data.column("action")
        self.keys = key_classes(self.model.actions, vectors)
        self.turn = vectors[:, -2:].astype(np.float32)
        self.rows = {split: self.data.clips(split, 2) for split in ("train", "validation")}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        self.model.to(device)
        self.dtype = dtype

    def describe(self) -> dict[str, Any]:
        config = self.config
        return {
            "data": self.data.identities,
            "model": to_record(config.model),
            "start": config.start,
            "validation": config.validation,
            "seed": config.seed,
        }

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "frames" uint8 [B, K, H, W, 3], "keys" int64 [B, 7], "turn" float32 [B, 2]."""
        rows = self.rows[split]
        if split == "train":
            chosen = torch.randint(len(rows), (share.size,), generator=generator)
        else:
            batches = self.validation_batches(share.size)
            chosen = torch.from_numpy(spread(len(rows), share.size, batches, step))
        return self.gather(rows[share.of(chosen).numpy()])

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

    def validation_batches(self, size: int) -> int:
        """At most eight: more would cost time and tell little more."""
        return min(8, -(-len(self.rows["validation"]) // size))

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        training = self.data.provenance(self.config.command) | record
        save_inverse(folder, self.config.model, state, training)
