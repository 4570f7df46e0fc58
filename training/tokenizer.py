"""Train a frame tokenizer on recorded frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from playloop.nn.record import to_record
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.training.frames import FrameData, FrameDataConfig, spread
from playloop.training.task import Share
from playloop.worlds.checkpoint import load_tokenizer, save_tokenizer


@dataclass
class TokenizerTaskConfig:
    """What a frame tokenizer learns from.

    Args:
        data: folders of data sets or of VPT recordings.
        model: sizes.
        start: folder of a tokenizer whose weights training begins with; None for new ones.
        camera: see `FrameDataConfig`, as are the rest.
        validation: share of held-out episodes.
        seed: of the split and the initial weights.
        processes: that decode videos, once.
        on_corrupt: "refuse" or "skip".
        cache: folder of decoded images; None for the data sets' own.
        command: how the run was started; written into the checkpoint.
    """

    data: list[str]
    model: FrameTokenizerConfig = field(default_factory=FrameTokenizerConfig)
    start: str | None = None
    camera: str = ""
    validation: float = 0.03
    seed: int = 0
    processes: int = 2
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    cache: str | None = None
    command: str = ""

    def make(self) -> TokenizerTask:
        """The task; image caches are made if missing."""
        return TokenizerTask(self)

    def frame_data(self) -> FrameDataConfig:
        """The part that names the frames."""
        names = ("camera", "validation", "seed", "processes", "on_corrupt", "cache")
        return FrameDataConfig(tuple(self.data), **{name: getattr(self, name) for name in names})


class TokenizerTask:
    """A `Task`: a `FrameTokenizer` and single frames."""

    def __init__(self, config: TokenizerTaskConfig):
        self.config = config
        self.model = config.model.make(config.seed)
        if config.start:
            self.model.load_state_dict(load_tokenizer(config.start).state_dict())
        self.data = FrameData(config.frame_data(), (config.model.height, config.model.width))
        self.rows = {split: self.data.rows(split) for split in ("train", "validation")}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        self.model.to(device, memory_format=torch.channels_last)
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
        """Keys: "images" uint8 [B, H, W, 3]."""
        rows = self.rows[split]
        if split == "train":
            chosen = torch.randint(len(rows), (share.size,), generator=generator)
        else:
            batches = self.validation_batches(share.size)
            chosen = torch.from_numpy(spread(len(rows), share.size, batches, step))
        return {"images": torch.from_numpy(self.data.frames.gather(rows[share.of(chosen).numpy()]))}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, generator, self.dtype)

    def validation_batches(self, size: int) -> int:
        """At most eight: more would cost time and tell little more."""
        return min(8, -(-len(self.rows["validation"]) // size))

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        training = self.data.provenance(self.config.command) | record
        save_tokenizer(folder, self.config.model, state, training)
