"""Frame tokenizers, world models and inverse-dynamics models on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from playloop.core.contract import Contract
from playloop.core.files import file_hash, read_json
from playloop.core.images import resize
from playloop.core.kinds import kind_of
from playloop.core.scratch import staged
from playloop.nn.building import Network, Sizes, load_model
from playloop.nn.contents import NOUNS, contents
from playloop.nn.folder import WEIGHTS, read_config, read_record, save_model, write_record
from playloop.nn.golden import GOLDEN, Arrays, write_golden
from playloop.nn.manifest import BOUND, MANIFEST, write_manifest
from playloop.nn.record import model_kind, to_record
from playloop.tokenizers.camera import CameraBins
from playloop.tokenizers.frames import FrameTokenizer, FrameTokenizerConfig
from playloop.tokenizers.minecraft import CompactActions
from playloop.worlds.golden import of_inverse, of_tokenizer, of_world, rounded_network, verify_golden
from playloop.worlds.inverse import InverseConfig, InverseModel
from playloop.worlds.model import WorldConfig, WorldModel
from playloop.worlds.playable import Playable
from playloop.worlds.players import Backend
from playloop.worlds.reading import model_name, read_sizes, write_surroundings
from playloop.worlds.ring import RingBackend
from playloop.worlds.sampler import SamplerConfig

TOKENIZER, WORLD, INVERSE = "fsq-frames", "fsq-world", "inverse-dynamics"
"""Kinds of models that folders hold."""
PARTS: dict[str, tuple[type[Any], tuple[type, ...], Callable[..., Arrays]]] = {
    TOKENIZER: (FrameTokenizerConfig, (), of_tokenizer),
    INVERSE: (InverseConfig, (CameraBins,), of_inverse),
}
"""What is no world model → its configuration, classes that it may hold, what is made of a golden input."""


def save_part(
    folder: str | Path, config: Sizes[Network], state: dict[str, Tensor], training: dict[str, Any]
) -> Path:
    """Write a frame tokenizer or an inverse-dynamics model: what is in `PARTS`."""
    _, _, made = PARTS[str(kind_of(type(config)))]
    golden = partial(write_golden, made=made(rounded_network(config, state)))
    return save_model(folder, state, {"model": to_record(config)}, training, golden)


def _load_part(folder: str | Path, kind: str, device: str | torch.device, dtype: torch.dtype) -> Any:
    folder, (config, classes, made) = Path(folder), PARTS[kind]
    sizes: Sizes[nn.Module] = read_sizes(read_config(folder, kind), folder, config, *classes)
    network = load_model(sizes.make, folder)
    verify_golden(folder, partial(made, network))
    return _moved(network, device, dtype)


def load_tokenizer(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> FrameTokenizer:
    """Read a frame tokenizer.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    tokenizer: FrameTokenizer = _load_part(folder, TOKENIZER, device, dtype)
    return tokenizer


def load_inverse(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> InverseModel:
    """Read an inverse-dynamics model; see `load_tokenizer`."""
    model: InverseModel = _load_part(folder, INVERSE, device, dtype)
    return model


def check_inverse(folder: str | Path) -> None:
    """Refuse a folder of something else than an inverse-dynamics model, before anything is loaded.

    Raises:
        FileNotFoundError: it holds no `config.json`.
        ValueError: it holds something else; says what.
    """
    if model_kind(read_json(Path(folder) / "config.json")) != INVERSE:
        raise ValueError(f"{folder} is no {NOUNS[INVERSE]}{contents(folder)}")


class World(Playable[WorldModel, FrameTokenizer]):
    """A trained world model of Playloop's own; its actions are compact."""

    kind, sizes, frames = WORLD, WorldConfig, FrameTokenizerConfig
    backends = ("auto", "torch", "kernels")
    unused = ("rules", "placeholder", "causal", "keep")

    @classmethod
    def _read(
        cls, folder: Path, record: dict[str, Any], device: torch.device, dtype: torch.dtype | None
    ) -> tuple[WorldModel, FrameTokenizer]:
        model = load_model(read_sizes(record, folder, WorldConfig).make, folder)
        tokenizer = load_tokenizer(folder / "tokenizer")
        verify_golden(folder, partial(of_world, model, tokenizer))
        dtype = dtype or torch.float32
        return model.to(device, dtype), _moved(tokenizer, device, dtype)

    @classmethod
    def name_in(cls, folder: Path) -> str:
        read_config(folder, WORLD)  # compares the weights with what `config.json` says of them
        return model_name(folder)

    @classmethod
    def form(cls, sizes: WorldConfig) -> CompactActions:
        form = CompactActions()
        if sizes.actions != form.sizes:
            raise ValueError(
                f"actions={list(sizes.actions)}, and actions here are {list(form.sizes)}; use the version "
                "that trained it"
            )
        return form

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
        """The back end that "auto" stands for: compiled kernels on a CPU.

        Raises:
            ValueError: it is not for this device.
        """
        on_cpu = self.model.head.weight.device.type == "cpu"
        if backend == "kernels" and not on_cpu:
            raise ValueError("backend=kernels needs a CPU; use backend=torch")
        return ("kernels" if on_cpu else "torch") if backend == "auto" else backend

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
        write_golden(scratch, of_world(rounded_network(config, state), load_tokenizer(scratch / "tokenizer")))

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
        save_part(scratch / "tokenizer", config, state, training)
        bind_world(scratch)
    return Path(folder)


def bind_world(folder: Path) -> None:
    """Write the golden file and the manifest of a world model's folder; older ones are replaced."""
    for name in (MANIFEST, GOLDEN):
        (folder / name).unlink(missing_ok=True)
    record = read_record(folder / "config.json")
    model = load_model(read_sizes(record, folder, WorldConfig).make, folder)
    write_golden(folder, of_world(model, load_tokenizer(folder / "tokenizer")))
    write_record(folder / "config.json", record | {BOUND: True})
    write_manifest(folder)


def _moved(network: Network, device: str | torch.device, dtype: torch.dtype) -> Network:
    """A convolutional network where and how it computes fastest."""
    # What torch declares leaves memory_format out.
    return network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def weights_hash(folder: str | Path) -> str:
    """A name for a model's weights: the beginning of their SHA-256."""
    return file_hash(Path(folder) / WEIGHTS)[:12]
