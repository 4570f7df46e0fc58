"""Train a frame tokenizer on recorded frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.nn.folder import rounded
from playloop.nn.record import to_record
from playloop.tokenizers.frames import FrameTokenizer, FrameTokenizerConfig
from playloop.tokenizers.minecraft import CompactActions
from playloop.training.frames import FrameData, FrameTask, FrameTaskConfig
from playloop.training.task import Share
from playloop.worlds.checkpoint import load_tokenizer, load_world, replace_tokenizer, save_tokenizer
from playloop.worlds.decode import SamplerConfig, sample
from playloop.worlds.metrics.reconstruction import reconstruction

JUDGED = 1024
"""Held-out frames that a tokenizer is judged by at the end, at most."""


@dataclass
class TokenizerTaskConfig(FrameTaskConfig):
    """What a frame tokenizer learns from.

    Args:
        model: sizes.
        generated: folder of a world model whose tokenizer goes on to learn: the decoder alone, from tokens
            that the model predicts given the frames before, so that it learns to draw what it will be given.
            The checkpoint is the world model with its new decoder.
    """

    model: FrameTokenizerConfig = field(default_factory=FrameTokenizerConfig)
    generated: str | None = None

    def make(self) -> TokenizerTask:
        """The task; image caches are made if missing."""
        return TokenizerTask(self)


class TokenizerTask(FrameTask):
    """A `Task`: a `FrameTokenizer` and single frames."""

    model: FrameTokenizer

    def __init__(self, config: TokenizerTaskConfig):
        if config.generated and config.start:
            raise ValueError("a model in generated=… brings the tokenizer to begin with; leave start out")
        self.config = config
        self.model = config.model.make(config.seed)
        if start := config.start or (config.generated and Path(config.generated) / "tokenizer"):
            self.model.load_state_dict(load_tokenizer(start).state_dict())
        data = FrameData(config, (config.model.height, config.model.width))
        self.guesser = Guesser(config, data) if config.generated else None
        if self.guesser:
            for part in (self.model.encoder, self.model.fsq):
                part.requires_grad_(False)
        super().__init__(config, data, self.guesser.length if self.guesser else 1)

    def describe(self) -> dict[str, Any]:
        model = {"model": to_record(self.config.model), "generated": self.config.generated}
        return super().describe() | model

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "images" uint8 [B, H, W, 3]; behind a world model also "ids" int64 [B, N]."""
        first = self.choose(split, step, generator, share)
        if self.guesser:
            return self.guesser.batch(first, generator)
        return {"images": torch.from_numpy(self.data.frames.gather(first))}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, generator, self.dtype)

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        config, record = (
            self.config,
            self.data.provenance() | record | {"held_out_frames": self._judged(state)},
        )
        if config.generated:
            replace_tokenizer(folder, config.generated, config.model, state, record)
        else:
            save_tokenizer(folder, config.model, state, record)

    def _judged(self, state: dict[str, Tensor]) -> dict[str, float] | None:
        """The figures of these weights, as they are stored, in held-out frames; None if none are held out."""
        clips = self.data.clips("validation", 1)
        if not len(clips):
            return None
        model = self.config.model.make()
        model.load_state_dict(rounded(state))
        chosen = clips[np.linspace(0, len(clips) - 1, min(JUDGED, len(clips))).astype(np.int64)]
        found = reconstruction(model, self.data.frames.gather(chosen))
        print("Held-out frames: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
        return {"frames": len(chosen)} | found


class Guesser:
    """Frames together with the tokens that a world model expects in their place."""

    def __init__(self, config: TokenizerTaskConfig, data: FrameData):
        assert config.generated is not None
        self.data, self.world = data, load_world(config.generated)
        self.length = self.world.model.config.context
        self.actions = CompactActions().encode(data.actions())

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
