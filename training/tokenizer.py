"""Train a frame tokenizer on recorded frames."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.annotations import Natural
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.folder import rounded
from playloop.nn.record import to_record
from playloop.tokenizers.frames import FrameTokenizer, FrameTokenizerConfig
from playloop.tokenizers.minecraft import CompactActions
from playloop.training.frames import EpisodeTask, FrameData, FrameTaskConfig
from playloop.training.start import take_over
from playloop.training.task import Share
from playloop.worlds.checkpoint import World, load_tokenizer, replace_tokenizer, save_part
from playloop.worlds.metrics.frames import reconstruction
from playloop.worlds.ring import imagine
from playloop.worlds.sampler import SamplerConfig

JUDGED = 1024
"""Held-out frames that a tokenizer is judged by at the end, at most."""


@kind("train-tokenizer")
@checked(kw_only=True)
class TokenizerTaskConfig(FrameTaskConfig):
    """What a frame tokenizer learns from.

    Args:
        model: sizes.
        generated: folder of a world model whose tokenizer goes on to learn: the decoder alone, from tokens
            that the model imagines in place of recorded frames, so that it learns to draw what it will be
            given. The checkpoint is the world model with its new decoder.
        foresight: frames at the end of every clip that are imagined. More teach the decoder to expect more
            errors, and so to draw softer pictures.
        sampler: how tokens are drawn.
    """

    model: FrameTokenizerConfig = field(default_factory=FrameTokenizerConfig)
    generated: str | None = None
    foresight: Natural = 1
    sampler: SamplerConfig = field(default_factory=SamplerConfig)

    def settings(self) -> dict[str, Any]:
        made = {"model": to_record(self.model)}
        if self.generated:
            made |= {"foresight": self.foresight, "sampler": to_record(self.sampler)}
        return super().settings() | made

    def make(self) -> TokenizerTask:
        """The task; image caches are made if missing."""
        return TokenizerTask(self)


class TokenizerTask(EpisodeTask):
    """A `TrainingTask`: a `FrameTokenizer` and single frames."""

    config: TokenizerTaskConfig
    model: FrameTokenizer
    data: FrameData

    def __init__(self, config: TokenizerTaskConfig):
        if config.generated and config.start:
            raise ValueError("a model in generated=… brings the tokenizer to begin with; leave start out")
        self.config = config
        self.model = config.model.make(config.seed)
        if start := config.start or (config.generated and Path(config.generated) / "tokenizer"):
            take_over(self.model, load_tokenizer(start), start)
        data = FrameData(config, (config.model.height, config.model.width))
        self.guesser = Guesser(config, data) if config.generated else None
        if self.guesser:
            for part in (self.model.encoder, self.model.fsq):
                part.requires_grad_(False)
        super().__init__(config, data, self.guesser.length if self.guesser else 1)

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        super().prepare(device, dtype)
        if self.guesser:
            self.guesser.world.to(device)

    def describe(self) -> dict[str, Any]:
        return super().describe() | ({"generated": self.guesser.name} if self.guesser else {})

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "images" uint8 [B, H, W, 3]; for a world model to go on from, those of `Guesser.batch`."""
        first = self.choose(split, step, generator, share)
        if self.guesser:
            return self.guesser.batch(first)
        return {"images": torch.from_numpy(self.data.frames.gather(first))}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        if self.guesser:
            batch = self.guesser.guess(self.model, batch, generator, self.dtype)
        return self.model.loss(batch, generator, self.dtype)

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        state = self.model.state_dict() | state  # the encoder may be frozen
        config, judged = self.config, {"held_out_frames": self._judged(state)}
        record = self.provenance() | record | judged
        if config.generated:
            replace_tokenizer(folder, config.generated, config.model, state, record)
        else:
            save_part(folder, config.model, state, record)

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
    """A world model that imagines the end of every clip, with the schedule and the cache of play.

    Raises:
        ValueError: `foresight` leaves no frame to begin with, or the model cannot decode so.
    """

    def __init__(self, config: TokenizerTaskConfig, data: FrameData):
        assert config.generated is not None
        world = World.load(config.generated)
        self.data, self.world, self.name, self.sampler = data, world.model, world.name, config.sampler
        self.sampler.check_trained(self.world.config.windows, len(self.world.config.corruption))
        self.length = self.world.config.context
        self.known = self.length - config.foresight
        if not 0 < self.known < self.length:
            raise ValueError(f"foresight={config.foresight} must be 1 or more, and less than {self.length}")
        self.actions = CompactActions().encode(data.actions())

    def batch(self, first: np.ndarray) -> dict[str, Tensor]:
        """Clips that begin at `first` [B]: "images" uint8 [B, T, H, W, 3], "actions" int64 [B, T - 1, G]."""
        rows = first[:, None] + np.arange(self.length)
        frames = torch.from_numpy(self.data.frames.gather(rows.flatten()))
        return {
            "images": frames.unflatten(0, rows.shape),
            "actions": torch.from_numpy(self.actions[rows[:, :-1]]),
        }

    def guess(
        self,
        tokenizer: FrameTokenizer,
        batch: dict[str, Tensor],
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> dict[str, Tensor]:
        """The true frames of the ends, "images" [B * n, H, W, 3], and what was imagined for them, "ids"."""
        images, actions = batch["images"], batch["actions"]
        tokens = tokenizer.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        seen = imagine(self.world, tokens, actions, self.known, self.sampler, generator, dtype)
        return {"images": images[:, self.known :].flatten(0, 1), "ids": seen[:, self.known :].flatten(0, 1)}
