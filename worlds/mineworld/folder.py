"""A MineWorld as a Playloop folder: made from published files, and read to be played."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from playloop.core.contract import Contract
from playloop.core.files import file_hash
from playloop.core.formats import FORMAT
from playloop.core.minecraft import minerl_contract
from playloop.core.scratch import staged
from playloop.nn.building import build_outline
from playloop.nn.folder import WEIGHTS, read_config, read_record, write_record
from playloop.nn.manifest import BOUND, MANIFEST, write_manifest
from playloop.nn.precision import native
from playloop.nn.quantize import KINDS, Kind, quantize
from playloop.nn.record import to_record
from playloop.nn.shards import Entry, read_header, read_tensors
from playloop.nn.slots import Slot, check_shapes, fill_slots
from playloop.nn.slots import published as weights_by_name
from playloop.tokenizers.minecraft import MineWorldActions
from playloop.tokenizers.vq import VQConfig, VQTokenizer
from playloop.worlds.golden import GOLDEN, verify_golden, write_golden
from playloop.worlds.mineworld.decode import ContextBackend
from playloop.worlds.mineworld.files import Published
from playloop.worlds.mineworld.golden import of_mineworld, of_vq
from playloop.worlds.mineworld.images import resize_linear
from playloop.worlds.mineworld.model import MineWorld, MineWorldConfig
from playloop.worlds.playable import Playable
from playloop.worlds.players import Backend
from playloop.worlds.reading import read_order, read_sizes, read_surroundings, require, write_surroundings
from playloop.worlds.sampler import DIAGONAL, Order, SamplerConfig

MINEWORLD, TOKENIZER = "mineworld", "vq"
"""Kinds of models that folders hold."""


class MineWorldPlay(Playable[MineWorld, VQTokenizer]):
    """A MineWorld with its VQ tokenizer; its actions are tokens, int64 [S, T - 1, A]."""

    backends = ("auto", "torch", "triton")
    weight_kinds = KINDS

    @property
    def actions(self) -> MineWorldActions:
        return self.model.config.actions

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
    published: Published,
    dtype: torch.dtype | None,
    starts: tuple[Tensor, Tensor],
    training: dict[str, Any],
) -> Path:
    """Write a checked checkpoint as a folder, whole or not at all.

    The weights keep their published names: what is checked when they are read is what was checked before.

    Args:
        folder: to write; an older one of that name is replaced.
        published: the checkpoint.
        dtype: to keep the weights in; None keeps each as it is.
        starts: tokens [S, T, N] and actions [S, T - 1, A] of clips to begin with.
        training: where it comes from: anything JSON-able.

    Raises:
        ValueError: a weight is no number, or too large for `dtype`.
    """
    with staged(folder) as scratch:
        _save_half(scratch / "tokenizer", published.tokenizer, published.tokenizer_weights, dtype)
        _save_half(scratch, published.config, published.weights, dtype)
        write_record(scratch / "training.json", training)
        write_surroundings(scratch, minecraft_contract(published.tokenizer), starts)
        _bind(scratch)
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
    """Write a MineWorld that was trained here as a folder, whole or not at all; names are the published ones.

    Args:
        folder: to write; an older one of that name is replaced.
        config: sizes.
        state: all weights, by the names of `MineWorld.state_dict`.
        tokenizer: folder of its frame tokenizer, which is copied.
        dtype: to keep the weights in; None keeps each as it is.
        contract: of the game whose recordings it was trained on, with the tokenizer's size of frames.
        starts: tokens [S, T, N] and actions [S, T - 1, A] of clips to begin with.
        training: command, data, seed, git …: anything JSON-able.
        trained: the order that it was trained for, in which it is played when none is named.

    Raises:
        ValueError: a weight is no number, or too large for `dtype`.
    """
    with torch.device("meta"):
        model = MineWorld(config)
    model.load_state_dict(state, assign=True)
    with staged(folder) as scratch:
        shutil.copytree(tokenizer, scratch / "tokenizer")
        _save_half(scratch, config, weights_by_name(model, model.slots()), dtype, trained)
        write_record(scratch / "training.json", training)
        write_surroundings(scratch, contract, starts)
        _bind(scratch)
    return folder


def _save_half(
    folder: Path,
    config: MineWorldConfig | VQConfig,
    weights: Mapping[str, Tensor],
    dtype: torch.dtype | None,
    trained: Order | None = None,
) -> None:
    folder.mkdir(exist_ok=True)
    kept = {name: value.to(dtype or value.dtype).contiguous() for name, value in weights.items()}
    wrong = sorted(name for name, value in kept.items() if not value.isfinite().all())
    if wrong:
        raise ValueError(f"{wrong[0]} holds a number that {kept[wrong[0]].dtype} cannot; use dtype=keep")
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # safetensors gives it to the owner alone
    record = {"format": FORMAT, "model": to_record(config), "weights_sha256": file_hash(folder / WEIGHTS)}
    order = {} if trained is None else {"trained": to_record(trained)}
    write_record(folder / "config.json", record | order | {BOUND: True})


def _bind(folder: Path) -> None:
    """Write what both halves make of a golden input, and the manifests; the whole's lists the tokenizer's."""
    inner, cpu = folder / "tokenizer", torch.device("cpu")
    for name in (GOLDEN, MANIFEST):
        (inner / name).unlink(missing_ok=True)
    record = read_record(inner / "config.json")
    write_golden(inner, of_vq(_tokenizer(inner, record, cpu, torch.float32)))
    write_record(inner / "config.json", record | {BOUND: True})
    write_manifest(inner)
    model = _model(folder, read_record(folder / "config.json"), cpu, torch.float32)
    write_golden(folder, of_mineworld(model, model.config.actions))
    write_manifest(folder)


def load_mineworld(
    folder: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    weights: Kind | None = None,
) -> MineWorldPlay:
    """Read a MineWorld to play it.

    Args:
        folder: that `playloop convert` wrote.
        device: to run on.
        dtype: to compute in; None for float16 on a GPU, as the release, and what a CPU multiplies fastest.
        weights: "int8" or "fp8" keeps those of the transformer's blocks in eight bits; None as they are.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder, device = Path(folder), torch.device(device)
    dtype = dtype or (native(device) if device.type == "cpu" else torch.float16)
    record = read_config(folder, MINEWORLD)
    model = _model(folder, record, device, dtype)
    require(folder, "tokenizer")
    tokenizer = load_vq(folder / "tokenizer", device, dtype)
    contract, starts, actions = read_surroundings(
        folder, model.config, tokenizer.config, attrgetter("actions")
    )
    name, trained = play_name(folder), read_order(record, folder)
    verify_golden(folder, partial(of_mineworld, model, model.config.actions), dtype)
    if weights is not None:
        quantize(model.llama, weights)
    return MineWorldPlay(model, tokenizer, contract, starts.to(device), actions.to(device), name, trained)


def load_vq(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VQTokenizer:
    """Read a MineWorld's frame tokenizer, which computes in `dtype`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder = Path(folder)
    tokenizer = _tokenizer(folder, read_config(folder, TOKENIZER), torch.device(device), dtype)
    verify_golden(folder, partial(of_vq, tokenizer), dtype)
    return tokenizer


def _model(folder: Path, record: dict[str, Any], device: torch.device, dtype: torch.dtype) -> MineWorld:
    config, entries = read_sizes(record, folder, MineWorldConfig), read_header(folder / WEIGHTS)
    model = build_outline(lambda: MineWorld(config), entries, folder)
    _fill(model, model.slots(), folder, entries, device, dtype)
    return model


def _tokenizer(folder: Path, record: dict[str, Any], device: torch.device, dtype: torch.dtype) -> VQTokenizer:
    config, entries = read_sizes(record, folder, VQConfig), read_header(folder / WEIGHTS)
    tokenizer = build_outline(lambda: VQTokenizer(config), entries, folder)
    slots = {name: Slot(name) for name, _ in tokenizer.named_parameters()}
    _fill(tokenizer, slots, folder, entries, device, dtype)
    # What torch declares leaves memory_format out.
    return tokenizer.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _fill(
    model: nn.Module,
    slots: Mapping[str, Slot],
    folder: Path,
    entries: Mapping[str, Entry],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Give a model on the meta device its weights, one tensor at a time."""
    try:
        check_shapes(model, slots, {name: entry.shape for name, entry in entries.items()})
    except ValueError as error:
        raise ValueError(f"{folder}: weights do not fit the configuration: {error}; copy it again") from error
    model.to(dtype).to_empty(device=device)
    try:
        fill_slots(model, slots, read_tensors(entries, slots))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}; copy it again") from error
    model.eval().requires_grad_(False)


def play_name(folder: Path) -> str:
    """A name for all that decides on the frames, from what `config.json` says of the weights, of the order
    that they are played in, and of the ids that turns have."""
    records = [read_record(path / "config.json") for path in (folder, folder / "tokenizer")]
    hashes = [record.get("weights_sha256") for record in records]
    model = records[0].get("model")
    if not isinstance(model, dict) or not all(isinstance(value, str) for value in hashes):
        raise ValueError(f"{folder / 'config.json'} lacks weights_sha256 or model; copy the folder again")
    both = "".join(value[:12] for value in hashes)
    more = {"trained": records[0].get("trained"), "truncate": model.get("truncate")}
    if any(more.values()):  # folders that say nothing of it keep their names
        both += json.dumps(more, sort_keys=True)
    return hashlib.sha256(both.encode()).hexdigest()[:12]
