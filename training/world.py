"""Train a world model on clips of frame tokens and the actions between them."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.annotations import Count, Fraction, Natural
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.demos.frames import FrameCache
from playloop.nn.record import to_record
from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.minecraft import CompactActions
from playloop.training.frames import PIECE, ClipTask, FrameData, FrameTaskConfig, cached_tokens
from playloop.training.start import take_over
from playloop.worlds.checkpoint import World, load_tokenizer, save_world, weights_hash
from playloop.worlds.model import WorldConfig, WorldModel
from playloop.worlds.ring import imagine
from playloop.worlds.sampler import SamplerConfig


@kind("train-world")
@checked(kw_only=True)
class WorldTaskConfig(FrameTaskConfig):
    """What a world model learns from: recordings with the actions of MineRL.

    Args:
        tokenizer: folder of the frame tokenizer.
        model: sizes; rows, columns and codes are the tokenizer's, actions those of `CompactActions`.
        clip: frames of a training clip.
        imagined: share of a batch's clips that are seen a second time with the model's own frames before the
            last one, made with the schedule and the cache of play; the last one is learned as it truly was.
        foresight: most frames that are imagined.
        sampler: how they are drawn.
    """

    tokenizer: str
    model: WorldConfig = field(default_factory=WorldConfig)
    clip: Count = 8
    imagined: Fraction = 0.0
    foresight: Natural = 4
    sampler: SamplerConfig = field(default_factory=SamplerConfig)

    def settings(self) -> dict[str, Any]:
        made = {name: getattr(self, name) for name in ("clip", "imagined", "foresight")}
        made |= {"sampler": to_record(self.sampler), "model": to_record(self.model)}
        return super().settings() | made

    def make(self) -> WorldTask:
        """The task; caches of images and tokens are made if missing.

        Raises:
            ValueError: the parts do not fit together.
        """
        return WorldTask(self)


class WorldTask(ClipTask):
    """A `TrainingTask`: a `WorldModel`, tokens [N, h * w] and compact actions [N, 9] of whole episodes."""

    config: WorldTaskConfig
    model: WorldModel

    def __init__(self, config: WorldTaskConfig):
        self.config = config
        tokenizer = load_tokenizer(config.tokenizer)
        _check_sizes(config, tokenizer)
        self.model = config.model.make(config.seed)
        if config.start:
            begun = World.load(config.start)
            if begun.tokenizer.encoding() != tokenizer.encoding():
                raise ValueError(
                    f"start={config.start} knows other tokens than those of tokenizer={config.tokenizer}; "
                    f"give tokenizer={config.start}, its own"
                )
            take_over(self.model, begun.model, config.start)
        data = FrameData(config, (tokenizer.config.height, tokenizer.config.width))
        folder = Path(config.cache) if config.cache else None
        tokens = (tokens_of(cache, tokenizer, folder) for cache in data.caches)
        super().__init__(config, data, config.clip, CompactActions(), tokens)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"tokenizer": weights_hash(self.config.tokenizer)}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The model's loss, and that of frames behind imagined ones."""
        config, model = self.config, self.model
        loss, metrics = model.loss(batch, generator, self.dtype)
        rows = round(config.imagined * len(batch["tokens"]))
        if not model.training or not rows:
            return loss, metrics
        tokens, actions = batch["tokens"][:rows], batch["actions"][:rows]
        count = int(torch.randint(1, config.foresight + 1, (), generator=generator, device=generator.device))
        known = config.clip - 1 - count
        made = imagine(model, tokens[:, :-1], actions[:, :-1], known, config.sampler, generator, self.dtype)
        seen = torch.cat([made, tokens[:, -1:]], 1)
        window, level = model.resolved(config.sampler).order().window, config.sampler.level
        after, imagined = model.loss_after(seen, actions, window, level, self.dtype)
        metrics |= {f"imagined_{name}": value for name, value in imagined.items()}
        metrics["imagined_loss"] = after.detach()
        return loss + config.imagined * after, metrics

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        model, tokenizer = self.config.model, self.config.tokenizer
        contract, training = self.data.contract(), self.provenance() | record
        starts = self.beginnings(min(model.context, self.config.clip))
        save_world(folder, model, state, tokenizer, contract, starts, training)


def tokens_of(cache: FrameCache, tokenizer: FrameTokenizer, folder: Path | None) -> np.ndarray:
    """The tokens of a cache's frames, int16 [n, N]; encoded once and kept beside the frames."""
    pieces = (cache[start : start + PIECE] for start in range(0, len(cache), PIECE))
    return cached_tokens(folder or cache.path.parent, cache.path.stem, len(cache), pieces, tokenizer)


def _check_sizes(config: WorldTaskConfig, tokenizer: FrameTokenizer) -> None:
    model, sizes = config.model, CompactActions().sizes
    wanted = (tokenizer.rows, tokenizer.columns, tokenizer.codes, sizes)
    given = (model.rows, model.columns, model.codes, tuple(model.actions))
    if wanted != given:
        raise ValueError(
            f"world.rows, columns, codes, actions are {given}; the tokenizer {config.tokenizer} and the "
            f"actions want {wanted}"
        )
    config.sampler.check_trained(model.windows, len(model.corruption))
    if config.imagined and config.foresight < 1:
        raise ValueError(f"imagined={config.imagined} needs foresight of 1 or more frames; there are 0")
    if config.clip < 2 or config.foresight > config.clip - 2:
        raise ValueError(
            f"clip={config.clip} must be at least 2 frames, and foresight={config.foresight} at most clip - 2"
        )
    if tokenizer.codes > np.iinfo(np.int16).max:
        raise ValueError(f"{tokenizer.codes} codes do not fit into the cache's 16 bits; use fewer levels")
