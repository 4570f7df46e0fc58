"""Train a world model on clips of frame tokens and the actions between them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from playloop.envs.contract import Contract
from playloop.envs.minecraft import ACTION_NAMES
from playloop.nn.record import to_record
from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.minecraft import CompactActions
from playloop.training.frames import FrameData, FrameDataConfig, spread
from playloop.training.rollout import imagine
from playloop.training.task import Share
from playloop.worlds.checkpoint import load_tokenizer, load_world, save_world, weights_hash
from playloop.worlds.decode import SamplerConfig
from playloop.worlds.model import WorldConfig

STARTS = 64
"""Frames of the training data from which the finished model can begin to play."""


@dataclass
class WorldTaskConfig:
    """What a world model learns from.

    Args:
        data: folders of data sets or of VPT recordings, with the actions of MineRL.
        tokenizer: folder of the frame tokenizer.
        model: sizes; rows, columns and codes are the tokenizer's, actions those of `CompactActions`.
        clip: frames of a training clip.
        imagined: share of a batch's clips that are seen a second time with the model's own frames before the
            last one, made with the schedule and the cache of play; the last one is learned as it truly was.
        foresight: most frames that are imagined.
        sampler: how they are drawn.
        start: folder of a world model whose weights training begins with; None for new ones.
        camera: see `FrameDataConfig`, as are the rest.
        validation: share of held-out episodes.
        seed: of the split and the initial weights.
        processes: that decode videos, once.
        on_corrupt: "refuse" or "skip".
        cache: folder of decoded images and tokens; None for the data sets' own.
        command: how the run was started; written into the checkpoint.
    """

    data: list[str]
    tokenizer: str
    model: WorldConfig = field(default_factory=WorldConfig)
    clip: int = 8
    imagined: float = 0.0
    foresight: int = 4
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    start: str | None = None
    camera: str = ""
    validation: float = 0.03
    seed: int = 0
    processes: int = 2
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    cache: str | None = None
    command: str = ""

    def make(self) -> WorldTask:
        """The task; caches of images and tokens are made if missing.

        Raises:
            ValueError: the parts do not fit together.
        """
        return WorldTask(self)

    def frame_data(self) -> FrameDataConfig:
        """The part that names the frames."""
        names = ("camera", "validation", "seed", "processes", "on_corrupt", "cache")
        return FrameDataConfig(tuple(self.data), **{name: getattr(self, name) for name in names})


class WorldTask:
    """A `Task`: a `WorldModel`, tokens [N, h * w] and compact actions [N, 9] of whole episodes."""

    def __init__(self, config: WorldTaskConfig):
        self.config = config
        tokenizer = load_tokenizer(config.tokenizer)
        size = tokenizer.config.height, tokenizer.config.width
        self.data = FrameData(config.frame_data(), size)
        self.contract = _common_contract(self.data.datasets)
        _check_sizes(config, tokenizer)
        self.actions = CompactActions().encode(self.data.column("action")).astype(np.int16)
        folder = Path(config.cache) if config.cache else None
        self.tokens = np.concatenate([tokens_of(cache, tokenizer, folder) for cache in self.data.caches])
        self.model = config.model.make(config.seed)
        if config.start:
            self.model.load_state_dict(load_world(config.start).model.state_dict())
        self.first = {split: self.data.clips(split, config.clip) for split in ("train", "validation")}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        self.model.to(device)
        self.dtype = dtype

    def describe(self) -> dict[str, Any]:
        config = self.config
        names = ("clip", "imagined", "foresight", "start", "validation", "seed")
        made = {name: getattr(config, name) for name in names}
        made |= {"tokenizer": weights_hash(config.tokenizer), "sampler": to_record(config.sampler)}
        return made | {"data": self.data.identities, "model": to_record(config.model)}

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """Keys: "tokens" int64 [B, T, N], "actions" int64 [B, T - 1, 9]."""
        first = self.first[split]
        if split == "train":
            chosen = torch.randint(len(first), (share.size,), generator=generator)
        else:
            batches = self.validation_batches(share.size)
            chosen = torch.from_numpy(spread(len(first), share.size, batches, step))
        rows = first[share.of(chosen).numpy()][:, None] + np.arange(self.config.clip)  # [B, T]
        tokens, actions = self.tokens[rows], self.actions[rows[:, :-1]]
        return {"tokens": torch.from_numpy(tokens).long(), "actions": torch.from_numpy(actions).long()}

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
        seen = imagine(model, tokens, actions, known, config.sampler, generator, self.dtype)
        window, level = config.sampler.window, config.sampler.level
        after, imagined = model.loss_after(seen, actions, window, level, self.dtype)
        metrics |= {f"imagined_{name}": value for name, value in imagined.items()}
        metrics["imagined_loss"] = after.detach()
        return loss + config.imagined * after, metrics

    def validation_batches(self, size: int) -> int:
        """At most eight: more would cost time and tell little more."""
        return min(8, -(-len(self.first["validation"]) // size))

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        training = self.data.provenance(self.config.command) | record
        model, tokenizer = self.config.model, self.config.tokenizer
        save_world(folder, model, state, tokenizer, self.contract, self._starts(), training)

    def _starts(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens int16 [S, T, N] and actions [S, T - 1, 9] of clips to begin with, spread over the data."""
        length = min(self.config.model.context, self.config.clip)
        first = self.data.clips("train", length)
        rows = first[np.arange(STARTS) * len(first) // STARTS][:, None] + np.arange(length)
        return self.tokens[rows], self.actions[rows[:, :-1]]


def tokens_of(cache: Any, tokenizer: FrameTokenizer, folder: Path | None) -> np.ndarray:
    """The tokens of a cache's frames, int16 [n, N]; encoded once and kept beside the frames."""
    folder = folder or cache.path.parent
    path = folder / f"tokens-{tokenizer.encoding()}-{cache.path.stem}.npy"
    if not path.exists():
        pieces = [
            tokenizer.encode(torch.from_numpy(cache[start : start + 256])).numpy()
            for start in range(0, len(cache), 256)
        ]
        partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.npy")
        np.save(partial, np.concatenate(pieces).astype(np.int16), allow_pickle=False)
        os.replace(partial, path)
    return np.load(path, allow_pickle=False)


def _check_sizes(config: WorldTaskConfig, tokenizer: FrameTokenizer) -> None:
    model, sizes = config.model, CompactActions().sizes
    wanted = (tokenizer.rows, tokenizer.columns, tokenizer.codes, sizes)
    given = (model.rows, model.columns, model.codes, tuple(model.actions))
    if wanted != given:
        raise ValueError(
            f"world.rows, columns, codes, actions are {given}; the tokenizer {config.tokenizer} and the "
            f"actions want {wanted}"
        )
    if config.clip < 2 or config.foresight > config.clip - 2:
        raise ValueError(
            f"clip={config.clip} must be at least 2 frames, and foresight={config.foresight} at most clip - 2"
        )
    if tokenizer.codes > np.iinfo(np.int16).max:
        raise ValueError(f"{tokenizer.codes} codes do not fit into the cache's 16 bits; use fewer levels")


def _common_contract(datasets: list[Any]) -> Contract:
    for dataset in datasets:
        if dataset.contract is None or dataset.contract.action_names != ACTION_NAMES:
            raise ValueError(
                f"{dataset.root} was not recorded with the actions of MineRL; a world model of it would not "
                "know what its keys do. Record with env=craft, env=luanti or env=minerl."
            )
    return datasets[0].contract
