"""A world model of any kind with all that playing in it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from playloop.core.contract import Contract
from playloop.nn.folder import read_config
from playloop.nn.quantize import Kind, quantize
from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.vq import VQTokenizer
from playloop.worlds.players import Backend, Players
from playloop.worlds.reading import Form, model_name, read_order, read_surroundings
from playloop.worlds.sampler import Order, SamplerConfig

Model = TypeVar("Model", bound=nn.Module)
Frames = TypeVar("Frames", FrameTokenizer, VQTokenizer)


@dataclass(repr=False)
class Playable(ABC, Generic[Model, Frames]):
    """What a world model of every kind is made of, and what each kind says for itself.

    Args:
        model: frames' tokens and actions → next frame's tokens.
        tokenizer: frames ↔ tokens.
        contract: of the environment that it imitates.
        starts: tokens int64 [S, T, N] of clips that play can begin with.
        start_actions: actions between their frames as the model takes them, int64 [S, T - 1, A].
        name: of its weights and its tokenizer's.
        trained: the order of decoding that it was trained for; None where its folder says nothing of it.
    """

    model: Model
    tokenizer: Frames
    contract: Contract
    starts: Tensor
    start_actions: Tensor
    name: str
    trained: Order | None = None

    kind: ClassVar[str]
    """Name of this kind in its folders."""
    sizes: ClassVar[type[Any]]
    """Configuration of the model."""
    frames: ClassVar[type[Any]]
    """Configuration of the frame tokenizer."""
    backends: ClassVar[tuple[str, ...]] = ("auto", "torch")
    """What can compute its frames."""
    weight_kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of weights in eight bits that it can have."""
    unused: ClassVar[tuple[str, ...]] = ()
    """Settings of a sampler that mean nothing here."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, of {self.contract.family})"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the tokenizer's frames."""
        return self.tokenizer.config.height, self.tokenizer.config.width

    @property
    def actions(self) -> Form:
        """Action vectors ↔ what the model takes."""
        return self.form(self.model.config)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        weights: Kind | None = None,
    ) -> Self:
        """Read a folder of this kind.

        Args:
            folder: of the model.
            device: to run on.
            dtype: to compute in; None for what the kind computes in there.
            weights: "int8" or "fp8": those of its blocks in eight bits, if it is one of `weight_kinds`.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged or of something else, or the kind has no such weights.
        """
        folder, device = Path(folder), torch.device(device)
        if weights is not None and not cls.weight_kinds:
            raise ValueError(f"weights={weights} is for a MineWorld; {folder} holds another world model")
        record = read_config(folder, cls.kind)
        model, tokenizer = cls._read(folder, record, device, dtype)
        contract, starts, actions = read_surroundings(folder, model.config, tokenizer.config, cls.form)
        if weights is not None:
            quantize(model.llama, weights)
        around = contract, starts.to(device), actions.to(device), model_name(folder)
        return cls(model, tokenizer, *around, read_order(record, folder))

    @classmethod
    def name_in(cls, folder: Path) -> str:
        """The name of a folder's model, after a look at its files; see `load`."""
        return model_name(folder)

    @classmethod
    @abstractmethod
    def form(cls, sizes: Any) -> Form:
        """The actions that a model of such sizes takes; refuses those that are not of this version."""

    @classmethod
    @abstractmethod
    def _read(
        cls, folder: Path, record: dict[str, Any], device: torch.device, dtype: torch.dtype | None
    ) -> tuple[Any, Any]:
        """The network and the frame tokenizer of a folder, each compared with its golden file."""

    @property
    @abstractmethod
    def seen(self) -> int:
        """Frames that a new one can follow from."""

    @property
    @abstractmethod
    def windows(self) -> tuple[int, ...]:
        """Windows of decoding that the model was trained with; none where every one can be had."""

    @abstractmethod
    def resize(self, image: np.ndarray) -> np.ndarray:
        """A picture of any size, uint8 [H, W, 3], as the tokenizer wants it."""

    @abstractmethod
    def check(self, sampler: SamplerConfig) -> None:
        """Refuse what cannot be decoded, and warn of what the model was not trained for.

        Raises:
            ValueError: says which setting.
        """

    @abstractmethod
    def resolved(self, sampler: SamplerConfig) -> SamplerConfig:
        """The sampler with everything named that is None: as the model was trained."""

    @abstractmethod
    def together(self, backend: str, count: int) -> int:
        """How many of so many sessions gain from a common batch."""

    @abstractmethod
    def _backend(self, name: str, players: int, graphs: bool) -> Backend:
        """What computes so many players' frames.

        Raises:
            ValueError: no such backend, or not on this device.
        """

    def players(
        self, sampler: SamplerConfig, count: int = 1, backend: str = "auto", graphs: bool = True
    ) -> Players:
        """Players of this model.

        Args:
            sampler: how their tokens are drawn; what is None in it is the model's own.
            count: how many.
            backend: one of `backends`; "auto" is the fastest here.
            graphs: whether a GPU takes a step of all players as one CUDA graph; False launches every kernel
                by itself, for comparison.

        Raises:
            ValueError: no such backend, or not on this device; the model cannot draw so; or no player.
        """
        if count < 1:
            raise ValueError(f"players={count}: there must be at least one")
        if backend not in self.backends:
            raise ValueError(
                f"backend={backend!r} is not for this world model; choose from {', '.join(self.backends)}"
            )
        made = self._backend(backend, count, graphs)
        self.check(sampler)
        model: Any = self.model
        nothing = torch.zeros(model.action_size, dtype=torch.int64, device=model.head.weight.device)
        return Players(made, self.resolved(sampler), count, self.tokenizer.tokens, nothing)

    def settings(self, sampler: SamplerConfig) -> dict[str, Any]:
        """What of a sampler decides on frames here, as a record."""
        return {name: value for name, value in asdict(sampler).items() if name not in self.unused}
