"""Fine-tune a MineWorld, or train one from nothing, on clips of frame tokens and the actions between them.

The authors published no training code. As they describe it (arXiv 2504.08388), the loss is the cross-entropy
of all tokens, frames' and actions' alike; clips fill the context; the tokenizer is frozen. Here every token
is predicted from what diagonal decoding will have fed before it, so that what is trained is what is played.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.annotations import Count
from playloop.core.kinds import kind
from playloop.nn.folder import read_record
from playloop.nn.record import to_record
from playloop.tokenizers.vq import VQTokenizer
from playloop.training.data import Stacked
from playloop.training.frames import EpisodeData, EpisodeTask, FrameTaskConfig
from playloop.training.mineworld.frames import resized_pieces
from playloop.training.mineworld.start import begin
from playloop.training.task import Share
from playloop.training.token_cache import cached_tokens, token_cache_path
from playloop.worlds.mineworld.convert import DTYPES
from playloop.worlds.mineworld.folder import save_mineworld
from playloop.worlds.mineworld.model import MineWorld, MineWorldConfig
from playloop.worlds.mineworld.sampler import CLEAN, DIAGONAL, MineWorldSampler


@kind("train-mineworld")
@dataclass
class MineWorldTaskConfig(FrameTaskConfig):
    """What a MineWorld learns from: recordings with the actions of MineRL.

    `start` has to be given: the folder of a MineWorld to fine-tune, or a name in `PRESETS`, whose sizes are
    trained from nothing.

    Args:
        tokenizer: folder of the VQ tokenizer of a model from nothing, or of a MineWorld that has one; a model
            that is fine-tuned keeps its own.
        model: settings of `MineWorldConfig` that differ from those of `start`; grid and codes are always the
            tokenizer's. Of a model that is fine-tuned the context alone can change.
        start_queries: add trained ones, if `start` has none.
        clip: frames of a training clip; None for the whole context.
        sampler: whose masks and placeholders are trained: its window, placeholder and causal count, where
            None is what `start` was trained for. The model keeps them, and is played so.
        dtype: to keep the exported weights in: float16 as released, bfloat16, float32; "keep" is float32 too.
        device: that frames are made tokens on, once: "cpu", "cuda", or "auto" for a GPU where there is one.
    """

    tokenizer: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    start_queries: bool = False
    clip: Count | None = None
    sampler: MineWorldSampler = field(default_factory=MineWorldSampler)
    dtype: str = "float16"
    device: str = "auto"

    def make(self) -> MineWorldTask:
        """The task; caches of tokens are made if missing.

        Raises:
            FileNotFoundError: a folder or a part of it is missing.
            ValueError: the parts do not fit together.
        """
        return MineWorldTask(self)


class MineWorldTask(EpisodeTask):
    """A `TrainingTask`: a `MineWorld`, and frame tokens [N, h * w], action tokens [N, 11] of episodes."""

    model: MineWorld

    def __init__(self, config: MineWorldTaskConfig):
        self.config = config
        if config.dtype not in DTYPES:
            raise ValueError(f"dtype={config.dtype}: there are {', '.join(DTYPES)}")
        self.model, tokenizer, self.folder, before = begin(
            config.start, config.tokenizer, config.model, config.start_queries, config.seed
        )
        self.sampler = MineWorldSampler.of(config.sampler).resolved(before or DIAGONAL)
        sizes = self.model.config
        self.clip = sizes.context if config.clip is None else config.clip
        _check_settings(self.sampler, sizes, self.clip)
        self.sampler.compare(before)
        data = EpisodeData(config, (tokenizer.config.height, tokenizer.config.width))
        super().__init__(config, data, self.clip)
        self.actions = sizes.actions.encode(data.actions()).astype(np.int16)
        self.tokens = _tokens(data, tokenizer, config)
        self.schedule = self.sampler.schedule(sizes.rows, sizes.columns, sizes.actions.length)

    def describe(self) -> dict[str, Any]:
        made = {"clip": self.clip, "model": to_record(self.model.config)}
        made |= {"schedule": to_record(self.schedule), "placeholder": self.sampler.source}
        folders = {"tokenizer": self.folder, "mineworld": Path(str(self.config.start))}
        made |= {name: _weights_name(folder) for name, folder in folders.items()}
        return super().describe() | made

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "tokens" int64 [B, T, N], "actions" int64 [B, T - 1, 11]."""
        tokens, actions = self._clips(self.choose(split, step, generator, share), self.clip)
        return {"tokens": tokens, "actions": actions}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, self.schedule, self.sampler.source, self.dtype)

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        """As `save_mineworld` writes it: to be played, inspected and fine-tuned again."""
        config, sizes = self.config, self.model.config
        training = {"source": Path(str(config.start)).name, "sampler": to_record(self.sampler)}
        training |= self.data.provenance() | record
        length = min(self.clip, self.sampler.keep, sizes.context - 1)
        starts = self._clips(self.data.beginnings(length)[:, 0], length)
        contract, dtype, order = self.data.contract(), DTYPES[config.dtype], self.sampler.order()
        save_mineworld(folder, sizes, state, self.folder, dtype, contract, starts, training, order)

    def _clips(self, first: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        """Clips that begin at the rows [B]: tokens int64 [B, T, N], actions between them [B, T - 1, 11]."""
        rows = first[:, None] + np.arange(length)
        tokens = self.tokens.gather(rows.flatten()).reshape(*rows.shape, -1)
        return torch.from_numpy(tokens).long(), torch.from_numpy(self.actions[rows[:, :-1]]).long()


def _tokens(data: EpisodeData, tokenizer: VQTokenizer, config: MineWorldTaskConfig) -> Stacked:
    """The tokens of all frames, int16 [N, h * w], in float32 as those that play begins with."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    device = device if config.device == "auto" else config.device
    tokenizer, encoding, found = tokenizer.to(device), tokenizer.encoding(), []
    for dataset, camera in zip(data.datasets, data.cameras, strict=True):
        folder = Path(config.cache) if config.cache else dataset.root / "cache"
        path = token_cache_path(folder, encoding, f"{camera}-{dataset.identity}")
        pieces = resized_pieces(dataset, camera, data.size, config.processes)
        found.append(cached_tokens(path, dataset.length, pieces, tokenizer, device))
    return Stacked(found)


def _weights_name(folder: Path) -> str | None:
    """What a folder's `config.json` calls its weights; None without one."""
    record = folder / "config.json"
    return read_record(record)["weights_sha256"] if record.is_file() else None


def _check_settings(sampler: MineWorldSampler, sizes: MineWorldConfig, clip: int) -> None:
    sampler.check_choices(sizes.columns)
    if sampler.rules != CLEAN:
        raise ValueError(
            f"rules={sampler.rules} only change how a model is decoded; train with clean ones, and with "
            f"window={sizes.columns} for raster order, which the release was trained in"
        )
    if not 2 <= clip <= sizes.context:
        raise ValueError(f"clip={clip} must be at least 2 frames, and at most the context, {sizes.context}")
    if sizes.vocabulary > np.iinfo(np.int16).max:
        raise ValueError(f"vocabulary={sizes.vocabulary} does not fit into the cache's 16 bits")
