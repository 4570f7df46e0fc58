"""Train a frame tokenizer on recorded frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from playloop.nn.record import to_record
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.tokenizers.minecraft import CompactActions
from playloop.training.frames import FrameData, FrameDataConfig, spread
from playloop.training.task import Share
from playloop.worlds.checkpoint import load_tokenizer, load_world, save_tokenizer, weights_hash
from playloop.worlds.decode import SamplerConfig, sample


@dataclass
class TokenizerTaskConfig:
    """What a frame tokenizer learns from.

    Args:
        data: folders of data sets or of VPT recordings.
        model: sizes.
        start: folder of a tokenizer whose weights training begins with; None for new ones.
        generated: folder of a world model on top of `start`'s tokens: only the decoder is trained, on tokens
            that this model predicts from the frames before, so that it learns to draw what it will be given.
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
    generated: str | None = None
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
        self.guesser = Guesser(config, self.data) if config.generated else None
        if self.guesser:
            for part in (self.model.encoder, self.model.fsq):
                part.requires_grad_(False)
        length = self.guesser.length if self.guesser else 1
        self.rows = {split: self.data.clips(split, length) for split in ("train", "validation")}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        self.model.to(device)
        self.dtype = dtype

    def describe(self) -> dict[str, Any]:
        config = self.config
        return {
            "data": self.data.identities,
            "model": to_record(config.model),
            "start": config.start,
            "generated": config.generated,
            "validation": config.validation,
            "seed": config.seed,
        }

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "images" uint8 [B, H, W, 3]; behind a world model also "ids" int64 [B, N]."""
        rows = self.rows[split]
        if split == "train":
            chosen = torch.randint(len(rows), (share.size,), generator=generator)
        else:
            batches = self.validation_batches(share.size)
            chosen = torch.from_numpy(spread(len(rows), share.size, batches, step))
        first = rows[share.of(chosen).numpy()]
        if self.guesser:
            return self.guesser.batch(first, generator)
        return {"images": torch.from_numpy(self.data.frames.gather(first))}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, generator, self.dtype)

    def validation_batches(self, size: int) -> int:
        """At most eight: more would cost time and tell little more."""
        return min(8, -(-len(self.rows["validation"]) // size))

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        training = self.data.provenance(self.config.command) | record
        save_tokenizer(folder, self.config.model, state, training)


class Guesser:
    """Frames together with the tokens that a world model expects in their place.

    Raises:
        ValueError: the world model was made for another tokenizer than training begins with.
    """

    def __init__(self, config: TokenizerTaskConfig, data: FrameData):
        assert config.generated is not None
        self.data, self.world = data, load_world(config.generated)
        mine = weights_hash(Path(config.generated) / "tokenizer")
        if config.start is None or weights_hash(config.start) != mine:
            raise ValueError(f"start={config.start} is not the tokenizer of {config.generated}; use its own")
        self.length = self.world.model.config.context
        self.actions = CompactActions().encode(data.column("action"))

    @torch.no_grad()
    def batch(self, first: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        """The last frames of clips that begin at `first` [B], and their tokens drawn given what is before."""
        rows = first[:, None] + np.arange(self.length)
        frames = torch.from_numpy(self.data.frames.gather(rows.flatten()))
        tokens = self.world.tokenizer.encode(frames).unflatten(0, rows.shape)  # [B, T, N]
        actions = torch.from_numpy(self.actions[rows[:, :-1]])
        window, level = self.world.model.config.windows[0], torch.zeros(len(rows), dtype=torch.int64)
        logits = self.world.model(tokens.clone(), actions, window, level)[:, -1]
        uniform = torch.rand(logits.shape[:-1], generator=generator)
        ids = sample(logits, uniform, SamplerConfig(window=window))
        return {"images": frames.unflatten(0, rows.shape)[:, -1].contiguous(), "ids": ids}
