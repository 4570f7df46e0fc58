"""A MineWorld as a Playloop folder: made from published files, and read to be played."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.core.contract import Contract
from playloop.core.minecraft import action_vector, minerl_contract
from playloop.core.scratch import staged
from playloop.nn.building import build_outline
from playloop.nn.folder import WEIGHTS, read_config, read_record, write_record, write_weights
from playloop.nn.golden import GOLDEN, Arrays, write_golden
from playloop.nn.manifest import BOUND, MANIFEST, write_manifest
from playloop.nn.precision import native
from playloop.nn.quantize import KINDS
from playloop.nn.record import to_record
from playloop.nn.shards import read_header, read_tensors
from playloop.nn.slots import check_shapes, fill_slots, published
from playloop.tokenizers.minecraft import MineWorldActions
from playloop.tokenizers.vq import VQConfig, VQTokenizer, resize_linear
from playloop.worlds.golden import ACTION, pictures, to_array, verify_golden
from playloop.worlds.mineworld.clip import ClipSchedule
from playloop.worlds.mineworld.decode import ContextBackend
from playloop.worlds.mineworld.files import Published
from playloop.worlds.mineworld.model import MineWorld, MineWorldConfig
from playloop.worlds.playable import Playable
from playloop.worlds.players import Backend
from playloop.worlds.reading import read_sizes, require, write_surroundings
from playloop.worlds.sampler import DIAGONAL, Order, SamplerConfig
from playloop.worlds.schedule import Schedule

MINEWORLD, TOKENIZER = "mineworld", "vq"
"""Kinds of models that folders hold."""


class MineWorldPlay(Playable[MineWorld, VQTokenizer]):
    """A MineWorld with its VQ tokenizer; its actions are tokens, int64 [S, T - 1, A]."""

    kind, sizes, frames = MINEWORLD, MineWorldConfig, VQConfig
    backends = ("auto", "torch", "triton")
    weight_kinds = KINDS

    @classmethod
    def _read(
        cls, folder: Path, record: dict[str, Any], device: torch.device, dtype: torch.dtype | None
    ) -> tuple[MineWorld, VQTokenizer]:
        """In float16 on a GPU, as the release, and in what a CPU multiplies fastest."""
        dtype = dtype or (native(device) if device.type == "cpu" else torch.float16)
        model = _network(folder, record, MineWorldConfig, device, dtype)
        require(folder, "tokenizer")
        tokenizer = load_vq(folder / "tokenizer", device, dtype)
        verify_golden(folder, partial(of_mineworld, model), dtype)
        return model, tokenizer

    @classmethod
    def form(cls, sizes: MineWorldConfig) -> MineWorldActions:
        return sizes.actions

    @property
    def seen(self) -> int:
        return self.model.config.context - 1  # it holds the new one, too

    @property
    def windows(self) -> tuple[int, ...]:
        return ()

    def resize(self, image: np.ndarray) -> np.ndarray:
        return resize_linear(image, self.size)

    def check(self, sampler: SamplerConfig) -> None:
        self.resolved(sampler).check_any_window(self.model.config.columns)
        sampler.compare(self.trained)

    def resolved(self, sampler: SamplerConfig) -> SamplerConfig:
        return self.model.resolved(sampler, self.trained or DIAGONAL)

    def together(self, backend: str, count: int) -> int:
        return 1 if self.model.head.weight.device.type == "cpu" else count

    def _backend(self, name: str, players: int, graphs: bool) -> Backend:
        self.model.llama.choose_kernels("triton" if name == "triton" else "torch", self.model.dtype)
        return ContextBackend(self.model, players, graphs)


def minecraft_contract(config: VQConfig) -> Contract:
    """The conventions of VPT's recordings, which MineWorld was trained on, at the tokenizer's size."""
    return minerl_contract((config.height, config.width), "linear", restorable=False)


def save_published(
    folder: Path,
    source: Published,
    dtype: torch.dtype | None,
    starts: tuple[Tensor, Tensor],
    training: dict[str, Any],
) -> Path:
    """Write a checked checkpoint as a folder, whole or not at all.

    The weights keep their published names: what is checked when they are read is what was checked before.

    Args:
        folder: to write; an older one of that name is replaced.
        source: the checkpoint.
        dtype: to keep the weights in; None keeps each as it is.
        starts: tokens [S, T, N] and actions [S, T - 1, A] of clips to begin with.
        training: where it comes from: anything JSON-able.

    Raises:
        ValueError: a weight is no number, or too large for `dtype`.
    """
    with staged(folder) as scratch:
        (scratch / "tokenizer").mkdir()
        _save_half(scratch / "tokenizer", source.tokenizer, source.tokenizer_weights, dtype)
        _save_half(scratch, source.config, source.weights, dtype)
        _finish(scratch, minecraft_contract(source.tokenizer), starts, training)
    return folder


def save_mineworld(
    folder: Path,
    config: MineWorldConfig,
    state: Mapping[str, Tensor],
    tokenizer: Path,
    dtype: torch.dtype | None,
    contract: Contract,
    starts: tuple[Tensor, Tensor],
    training: dict[str, Any],
    trained: Order,
) -> Path:
    """Write a MineWorld that was trained here; see `save_published`.

    Args:
        folder: to write.
        config: sizes.
        state: all weights, by the names of `MineWorld.state_dict`.
        tokenizer: folder of its frame tokenizer, which is copied.
        dtype: to keep the weights in.
        contract: of the game whose recordings it was trained on, with the tokenizer's size of frames.
        starts: clips to begin with.
        training: command, data, seed, git …: anything JSON-able.
        trained: the order that it was trained for, in which it is played when none is named.
    """
    with torch.device("meta"):
        model = MineWorld(config)
    model.load_state_dict(state, assign=True)
    with staged(folder) as scratch:
        shutil.copytree(tokenizer, scratch / "tokenizer")
        _save_half(scratch, config, published(model, model.slots()), dtype, trained=to_record(trained))
        _finish(scratch, contract, starts, training)
    return folder


def _save_half(
    folder: Path, config: Any, weights: Mapping[str, Tensor], dtype: torch.dtype | None, **more: Any
) -> None:
    kept = {name: value.to(dtype or value.dtype).contiguous() for name, value in weights.items()}
    wrong = sorted(name for name, value in kept.items() if not value.isfinite().all())
    if wrong:
        raise ValueError(f"{wrong[0]} holds a number that {kept[wrong[0]].dtype} cannot; use dtype=keep")
    write_weights(folder, kept, {"model": to_record(config)} | more, {"format": "pt"})


def _finish(
    folder: Path, contract: Contract, starts: tuple[Tensor, Tensor], training: dict[str, Any]
) -> None:
    """Write what lies beside both halves, what they make of a golden input, and the manifests."""
    write_record(folder / "training.json", training)
    write_surroundings(folder, contract, starts)
    inner, exact = folder / "tokenizer", (torch.device("cpu"), torch.float32)
    for name in (GOLDEN, MANIFEST):
        (inner / name).unlink(missing_ok=True)
    record = read_record(inner / "config.json")
    write_golden(inner, of_vq(_network(inner, record, VQConfig, *exact)))
    write_record(inner / "config.json", record | {BOUND: True})
    write_manifest(inner)
    model = _network(folder, read_record(folder / "config.json"), MineWorldConfig, *exact)
    write_golden(folder, of_mineworld(model))
    write_manifest(folder)


def load_vq(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VQTokenizer:
    """Read a MineWorld's frame tokenizer, which computes in `dtype`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder = Path(folder)
    tokenizer: VQTokenizer = _network(
        folder, read_config(folder, TOKENIZER), VQConfig, torch.device(device), dtype
    )
    verify_golden(folder, partial(of_vq, tokenizer), dtype)
    return tokenizer


def _network(
    folder: Path, record: dict[str, Any], kind: type[Any], device: torch.device, dtype: torch.dtype
) -> Any:
    """A half with its weights, one tensor at a time."""
    config, entries = read_sizes(record, folder, kind), read_header(folder / WEIGHTS)
    network: Any = build_outline(config.make, entries, folder)
    slots = network.slots()
    try:
        check_shapes(network, slots, {name: entry.shape for name, entry in entries.items()})
    except ValueError as error:
        raise ValueError(f"{folder}: weights do not fit the configuration: {error}; copy it again") from error
    network.to(dtype).to_empty(device=device)
    try:
        fill_slots(network, slots, read_tensors(entries, slots))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}; copy it again") from error
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@torch.inference_mode()
def of_vq(tokenizer: VQTokenizer, given: Arrays | None = None) -> Arrays:
    """Latents of a picture of two by two tokens, and the picture of stored ids: a whole one takes seconds."""
    side, device = tokenizer.config.side, tokenizer.quant_conv.weight.device
    images = pictures(1, 2 * side, 2 * side) if given is None else given["images"]
    latents = tokenizer.latents(torch.from_numpy(images).to(device))
    ids = tokenizer.quantize.nearest(latents).cpu().numpy() if given is None else given["ids"]
    codes = F.embedding(torch.from_numpy(ids).to(device), tokenizer.quantize.embedding.weight)
    grid = codes.transpose(1, 2).unflatten(2, (2, 2))
    pixels = tokenizer.decoder(tokenizer.post_quant_conv(grid))
    return {"images": images, "ids": ids, "latents": to_array(latents), "pixels": to_array(pixels)}


@torch.inference_mode()
def of_mineworld(model: MineWorld, given: Arrays | None = None) -> Arrays:
    """Logits behind a row of tokens and an action; a whole frame takes seconds on a processor."""
    config, form, device = model.config, model.config.actions, model.head.weight.device
    vector = action_vector(ACTION) if given is None else given["vector"]
    row = np.random.default_rng(0).integers(0, config.codes, config.columns)
    ids = row if given is None else given["ids"]
    unit = Schedule(1, len(ids), len(ids), form.length, own_starts=False)
    # The first frame of a clip that goes on: the row, the action, and one more row, of which nothing is read.
    both, actions = np.stack([ids, ids])[None], form.encode(vector)[None, None]
    sequence = model.sequence(torch.from_numpy(both), torch.from_numpy(actions)).to(device)
    hidden = model.encode(model.token(sequence).to(model.dtype), ClipSchedule(unit, 2))
    logits = model.head(hidden[:, len(ids) : len(ids) + form.length])
    return {"ids": ids, "vector": vector, "logits": to_array(logits)}
