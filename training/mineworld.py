"""Fine-tune a MineWorld, or train one from nothing, on clips of frame tokens and the actions between them.

The authors published no training code. As they describe it (arXiv 2504.08388), the loss is the cross-entropy
of all tokens, frames' and actions' alike; clips fill the context; the tokenizer is frozen. Here every token
is predicted from what diagonal decoding will have fed before it, so that what is trained is what is played.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.children import CONTEXT
from playloop.core.kinds import kind
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.pictures import Pictures
from playloop.nn.folder import read_record
from playloop.nn.record import to_record
from playloop.tokenizers.minecraft import MineWorldActions
from playloop.tokenizers.vq import VQTokenizer, resize_linear
from playloop.training.frames import ClipTask, EpisodeData, FrameTaskConfig, cached_tokens
from playloop.worlds.mineworld.convert import DTYPES
from playloop.worlds.mineworld.folder import MineWorldPlay, load_vq, save_mineworld
from playloop.worlds.mineworld.model import PRESETS, MineWorld, MineWorldConfig
from playloop.worlds.open import opener
from playloop.worlds.sampler import CLEAN, DIAGONAL, Order, SamplerConfig

UNUSED = 2
"""Ids behind those of the actions that the published models leave unused."""

PIECE = 64
"""Frames that are decoded together."""

Job = tuple[Pictures, tuple[int, int]]
Begun = tuple[MineWorld, VQTokenizer, Path, Order | None]


@kind("train-mineworld")
@checked(kw_only=True)
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
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    dtype: str = "float16"
    device: str = "auto"

    def make(self) -> MineWorldTask:
        """The task; caches of tokens are made if missing.

        Raises:
            FileNotFoundError: a folder or a part of it is missing.
            ValueError: the parts do not fit together.
        """
        return MineWorldTask(self)


class MineWorldTask(ClipTask):
    """A `TrainingTask`: a `MineWorld`, and frame tokens [N, h * w], action tokens [N, 11] of episodes."""

    config: MineWorldTaskConfig
    model: MineWorld

    def __init__(self, config: MineWorldTaskConfig):
        self.config = config
        if config.dtype not in DTYPES:
            raise ValueError(f"dtype={config.dtype}: there are {', '.join(DTYPES)}")
        self.model, tokenizer, self.folder, before = begin(config)
        self.sampler = self.model.resolved(config.sampler, before or DIAGONAL)
        sizes = self.model.config
        clip = sizes.context if config.clip is None else config.clip
        _check_settings(self.sampler, sizes, clip)
        self.sampler.compare(before)
        data = EpisodeData(config, (tokenizer.config.height, tokenizer.config.width))
        super().__init__(config, data, clip, sizes.actions, _tokens(data, tokenizer, config))
        self.schedule = sizes.schedule(self.sampler)

    def describe(self) -> dict[str, Any]:
        made = {"clip": self.length, "model": to_record(self.model.config)}
        made |= {"schedule": to_record(self.schedule), "placeholder": self.sampler.source}
        folders = {"tokenizer": self.folder, "mineworld": Path(str(self.config.start))}
        made |= {name: _weights_name(folder) for name, folder in folders.items()}
        return super().describe() | made

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model.loss(batch, self.schedule, self.sampler.source, self.dtype)

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        """As `save_mineworld` writes it: to be played, inspected and fine-tuned again."""
        config, sizes = self.config, self.model.config
        training = {"source": Path(str(config.start)).name, "sampler": to_record(self.sampler)}
        training |= self.provenance() | record
        length = min(self.length, self.sampler.keep, sizes.context - 1)
        starts = self.beginnings(length)
        contract, dtype, order = self.data.contract(), DTYPES[config.dtype], self.sampler.order()
        save_mineworld(folder, sizes, state, self.folder, dtype, contract, starts, training, order)


def _tokens(data: EpisodeData, tokenizer: VQTokenizer, config: MineWorldTaskConfig) -> Iterator[np.ndarray]:
    """The tokens of each data set's frames, int16 [n, h * w], in float32 as those that play begins with."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    device = device if config.device == "auto" else config.device
    tokenizer = tokenizer.to(device)
    for dataset, camera in zip(data.datasets, data.cameras, strict=True):
        folder = Path(config.cache) if config.cache else dataset.root / "cache"
        pieces = resized_pieces(dataset, camera, data.size, config.processes)
        name = f"{camera}-{dataset.identity}"
        yield cached_tokens(folder, name, dataset.length, pieces, tokenizer, device)


def resized_pieces(
    dataset: Demonstrations, camera: str, size: tuple[int, int], processes: int
) -> Iterator[np.ndarray]:
    """All frames of a data set in the order of its rows, uint8 [n, height, width, 3] each, n at most `PIECE`.

    They are resized as MineWorld does it, and kept nowhere: an hour of play is 19 GB of pixels, its tokens
    are 48 MB.
    """
    jobs = _jobs(dataset, camera, size)
    if processes <= 1:
        yield from map(_read, jobs)
        return
    waiting: deque[Future[np.ndarray]] = deque()
    pool = ProcessPoolExecutor(processes, CONTEXT, torch.set_num_threads, (1,))
    try:
        for job in jobs:
            waiting.append(pool.submit(_read, job))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _jobs(dataset: Demonstrations, camera: str, size: tuple[int, int]) -> Iterator[Job]:
    for episode, record in enumerate(dataset.episodes):
        pictures = dataset.pictures(camera, episode)
        for start in range(0, record["length"], PIECE):
            yield pictures[start : start + PIECE], size


def _read(job: Job) -> np.ndarray:
    pictures, size = job
    return np.stack([resize_linear(image, size) for image in pictures])


def _weights_name(folder: Path) -> str | None:
    """What a folder's `config.json` calls its weights; None without one."""
    record = folder / "config.json"
    return read_record(record)["weights_sha256"] if record.is_file() else None


def _check_settings(sampler: SamplerConfig, sizes: MineWorldConfig, clip: int) -> None:
    sampler.check_any_window(sizes.columns)
    if sampler.rules != CLEAN:
        raise ValueError(
            f"rules={sampler.rules} only change how a model is decoded; train with clean ones, and with "
            f"window={sizes.columns} for raster order, which the release was trained in"
        )
    if not 2 <= clip <= sizes.context:
        raise ValueError(f"clip={clip} must be at least 2 frames, and at most the context, {sizes.context}")
    if sizes.vocabulary > np.iinfo(np.int16).max:
        raise ValueError(f"vocabulary={sizes.vocabulary} does not fit into the cache's 16 bits")


def begin(config: MineWorldTaskConfig) -> Begun:
    """A float32 model to train, its frozen tokenizer in float32, the tokenizer's folder, and the order that
    the model was trained for, None if that is not known.

    Raises:
        FileNotFoundError: a folder or a part of it is missing.
        ValueError: something is damaged or does not fit; says what to do.
    """
    start = config.start
    if start is not None and Path(start).is_dir():
        return _trained(Path(start), config)
    if start is not None and start in PRESETS:
        return _new(start, config)
    raise ValueError(
        f"{start} is neither the folder of a MineWorld nor the name of published sizes: {', '.join(PRESETS)}"
    )


def _trained(folder: Path, config: MineWorldTaskConfig) -> Begun:
    opener(folder)  # of a published checkpoint it says what to do
    if config.tokenizer is not None:
        raise ValueError(f"{folder} brings its own tokenizer, whose tokens it knows; leave tokenizer out")
    world = MineWorldPlay.load(folder, "cpu", torch.float32)
    model, found = world.model.requires_grad_(True), world.model.config
    wanted = _changed(found, config.model)
    for name in config.model:
        here, there = getattr(found, name), getattr(wanted, name)
        if name != "context" and here != there:
            raise ValueError(
                f"{folder} has {name}={here}, not {there}; leave model.{name} out, or train that size from "
                f"nothing with one of {', '.join(PRESETS)}"
            )
    wanted.check()
    if config.start_queries and model.start is None:
        wanted = replace(wanted, start_queries=True)
        # A query stands where a frame's token would: it begins as the mean of what can stand there.
        mean = model.token.weight.detach()[: found.codes].mean(0)
        model.start = nn.Parameter(mean.repeat(found.rows - 1, 1))
    model.config = wanted
    return model, world.tokenizer, folder / "tokenizer", world.trained


def _new(name: str, config: MineWorldTaskConfig) -> Begun:
    if config.tokenizer is None:
        raise ValueError(
            f"{name} begins from nothing; give tokenizer=DIR, the folder of a VQ tokenizer or of a MineWorld"
        )
    folder = Path(config.tokenizer)
    folder = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
    vq = load_vq(folder)
    fixed: dict[str, Any] = {"rows": vq.rows, "columns": vq.columns, "codes": vq.codes}
    vocabulary = MineWorldActions(vq.codes).ids.stop + UNUSED
    sizes = replace(PRESETS[name], **fixed, vocabulary=vocabulary, start_queries=config.start_queries)
    sizes = _changed(sizes, config.model)
    if wrong := [key for key, value in fixed.items() if getattr(sizes, key) != value]:
        raise ValueError(
            f"model.{wrong[0]}={getattr(sizes, wrong[0])}, but the tokenizer {folder} has {fixed[wrong[0]]}; "
            f"leave model.{wrong[0]} out"
        )
    return sizes.make(config.seed), vq, folder, None


def _changed(sizes: MineWorldConfig, changes: Mapping[str, Any]) -> MineWorldConfig:
    """The sizes with some of them replaced."""
    known = [field.name for field in fields(sizes) if field.name != "start_queries"]
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"model.{name}: there is no such size; there are {', '.join(known)}")
        kind = type(getattr(sizes, name))
        if kind is bool and type(value) is not bool:
            raise ValueError(f"model.{name}={value} must be true or false")
        if kind is not bool and (type(value) not in (int, kind) or value <= 0):
            raise ValueError(f"model.{name}={value} must be a {kind.__name__} above 0")
    return replace(sizes, **changes)
