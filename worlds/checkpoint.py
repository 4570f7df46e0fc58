"""Frame tokenizers, world models and inverse-dynamics models on disk."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from playloop.core.contract import Contract
from playloop.core.files import file_hash, read_json
from playloop.core.images import resize
from playloop.core.scratch import staged
from playloop.nn.building import load_model
from playloop.nn.contents import NOUNS, contents
from playloop.nn.folder import (
    WEIGHTS,
    read_config,
    read_record,
    save_model,
    write_record,
)
from playloop.nn.manifest import BOUND, MANIFEST, write_manifest
from playloop.nn.record import model_kind, to_record
from playloop.tokenizers.camera import CameraBins
from playloop.tokenizers.frames import FrameTokenizer, FrameTokenizerConfig
from playloop.tokenizers.minecraft import CompactActions
from playloop.worlds.golden import (
    GOLDEN,
    of_inverse,
    of_tokenizer,
    of_world,
    rounded_network,
    verify_golden,
    write_golden,
)
from playloop.worlds.inverse import InverseConfig, InverseModel
from playloop.worlds.model import WorldConfig, WorldModel
from playloop.worlds.playable import Playable
from playloop.worlds.players import Backend
from playloop.worlds.reading import read_sizes, read_surroundings, write_surroundings
from playloop.worlds.ring import RingBackend
from playloop.worlds.sampler import SamplerConfig

Network = TypeVar("Network", bound=torch.nn.Module)
TOKENIZER, WORLD, INVERSE = "fsq-frames", "fsq-world", "inverse-dynamics"
"""Kinds of models that folders hold."""


def save_tokenizer(
    folder: str | Path, config: FrameTokenizerConfig, state: dict[str, Tensor], training: dict[str, Any]
) -> Path:
    """Write a frame tokenizer."""
    golden = partial(write_golden, made=of_tokenizer(rounded_network(config.make, state)))
    return save_model(folder, state, {"model": to_record(config)}, training, golden)


def load_tokenizer(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> FrameTokenizer:
    """Read a frame tokenizer.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    tokenizer = _load(folder, TOKENIZER, FrameTokenizerConfig)
    verify_golden(Path(folder), partial(of_tokenizer, tokenizer))
    return _moved(tokenizer, device, dtype)


def save_inverse(
    folder: str | Path, config: InverseConfig, state: dict[str, Tensor], training: dict[str, Any]
) -> Path:
    """Write an inverse-dynamics model."""
    golden = partial(write_golden, made=of_inverse(rounded_network(config.make, state)))
    return save_model(folder, state, {"model": to_record(config)}, training, golden)


def check_inverse(folder: str | Path) -> None:
    """Refuse a folder of something else than an inverse-dynamics model, before anything is loaded.

    Raises:
        FileNotFoundError: it holds no `config.json`.
        ValueError: it holds something else; says what.
    """
    if model_kind(read_json(Path(folder) / "config.json")) != INVERSE:
        raise ValueError(f"{folder} is no {NOUNS[INVERSE]}{contents(folder)}")


def load_inverse(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> InverseModel:
    """Read an inverse-dynamics model.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    model = _load(folder, INVERSE, InverseConfig, CameraBins)
    verify_golden(Path(folder), partial(of_inverse, model))
    return _moved(model, device, dtype)


class World(Playable[WorldModel, FrameTokenizer]):
    """A trained world model of Playloop's own; its actions are compact."""

    backends = ("auto", "torch", "kernels")
    unused = ("rules", "placeholder", "causal", "keep")

    @property
    def actions(self) -> CompactActions:
        return CompactActions()

    @property
    def seen(self) -> int:
        return self.model.config.context

    @property
    def windows(self) -> tuple[int, ...]:
        return self.model.config.windows

    def resize(self, image: np.ndarray) -> np.ndarray:
        return resize(image, self.size)

    def check(self, sampler: SamplerConfig) -> None:
        config = self.model.config
        self.resolved(sampler).check_trained(config.windows, len(config.corruption))

    def resolved(self, sampler: SamplerConfig) -> SamplerConfig:
        return self.model.resolved(sampler)

    def together(self, backend: str, count: int) -> int:
        return 1 if self._choice(backend) == "kernels" else count

    def _choice(self, backend: str) -> str:
        """The back end that "auto" stands for: compiled kernels on a CPU where numba is installed.

        Raises:
            ValueError: it is not for this device.
        """
        on_cpu = self.model.head.weight.device.type == "cpu"
        compiled = on_cpu and importlib.util.find_spec("numba") is not None
        if backend == "kernels" and not compiled:
            raise ValueError("backend=kernels needs a CPU and numba; pip install numba, or use backend=torch")
        return ("kernels" if compiled else "torch") if backend == "auto" else backend

    def _backend(self, name: str, players: int, graphs: bool) -> Backend:
        if self._choice(name) == "torch":
            return RingBackend(self.model, players)
        from playloop.worlds.engine import KernelBackend

        return KernelBackend(self.model, players)


def save_world(
    folder: str | Path,
    config: WorldConfig,
    state: dict[str, Tensor],
    tokenizer: str | Path,
    contract: Contract,
    starts: tuple[np.ndarray | Tensor, np.ndarray | Tensor],
    training: dict[str, Any],
) -> Path:
    """Write a world model together with its frame tokenizer.

    Args:
        folder: to write.
        config: sizes.
        state: weights.
        tokenizer: folder of the frame tokenizer, which is copied.
        contract: of the environment whose recordings it was trained on.
        starts: tokens [S, T, N] and actions [S, T - 1, G] of clips to begin with.
        training: command, data, seed, git …
    """

    def more(scratch: Path) -> None:
        shutil.copytree(tokenizer, scratch / "tokenizer")
        write_surroundings(scratch, contract, starts)
        model = rounded_network(config.make, state)
        write_golden(scratch, of_world(model, load_tokenizer(scratch / "tokenizer"), CompactActions()))

    return save_model(folder, state, {"model": to_record(config)}, training, more)


def replace_tokenizer(
    folder: str | Path,
    world: str | Path,
    config: FrameTokenizerConfig,
    state: dict[str, Tensor],
    training: dict[str, Any],
) -> Path:
    """Write a copy of a world model with another frame tokenizer, whose encoder must be the same."""
    with staged(Path(folder)) as scratch:
        shutil.copytree(world, scratch, dirs_exist_ok=True)
        save_tokenizer(scratch / "tokenizer", config, state, training)
        bind_world(scratch)
    return Path(folder)


def bind_world(folder: Path) -> None:
    """Write the golden file and the manifest of a world model's folder; older ones are replaced."""
    for name in (MANIFEST, GOLDEN):
        (folder / name).unlink(missing_ok=True)
    record = read_record(folder / "config.json")
    model = load_model(read_sizes(record, folder, WorldConfig).make, folder)
    write_golden(folder, of_world(model, load_tokenizer(folder / "tokenizer"), CompactActions()))
    write_record(folder / "config.json", record | {BOUND: True})
    write_manifest(folder)


def load_world(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> World:
    """Read a world model.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder = Path(folder)
    model = _load(folder, WORLD, WorldConfig)
    tokenizer = load_tokenizer(folder / "tokenizer")
    contract, starts, actions = read_surroundings(folder, model.config, tokenizer.config, compact_form)
    verify_golden(folder, partial(of_world, model, tokenizer, CompactActions()))
    return World(
        model.to(device, dtype),
        _moved(tokenizer, device, dtype),
        contract,
        starts.to(device),
        actions.to(device),
        _name(folder),
    )


def compact_form(sizes: WorldConfig) -> CompactActions:
    """The actions that a model of such sizes takes.

    Raises:
        ValueError: this version has others.
    """
    form = CompactActions()
    if sizes.actions != form.sizes:
        raise ValueError(
            f"actions={list(sizes.actions)}, and actions here are {list(form.sizes)}; use the version that "
            "trained it"
        )
    return form


def world_name(folder: Path) -> str:
    """The name of a folder's world model, whose weights are compared with what `config.json` says of them.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    read_config(folder, WORLD)
    return _name(folder)


def _moved(network: Network, device: str | torch.device, dtype: torch.dtype) -> Network:
    """A convolutional network where and how it computes fastest."""
    # What torch declares leaves memory_format out.
    return network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _name(folder: Path) -> str:
    """A name for all that decides on the frames of a world model, those of its tokenizer included."""
    both = weights_hash(folder) + weights_hash(folder / "tokenizer")
    return hashlib.sha256(both.encode()).hexdigest()[:12]


def weights_hash(folder: str | Path) -> str:
    """A name for a model's weights: the beginning of their SHA-256."""
    return file_hash(Path(folder) / WEIGHTS)[:12]


def _load(folder: str | Path, kind: str, *configs: type) -> Any:
    """A model of a kind with its weights; `configs` are the classes that its record may name."""
    folder = Path(folder)
    config: Any = read_sizes(read_config(folder, kind), folder, *configs)
    return load_model(config.make, folder)
