"""One session in a world model: frames go in, actions make new ones. The fastest way that the machine has."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from playloop.worlds.cache import RingCache
from playloop.worlds.checkpoint import World
from playloop.worlds.decode import SamplerConfig, decode_frame, write_frame

if TYPE_CHECKING:
    from playloop.worlds.mineworld.folder import MineWorldPlay

BACKENDS, MINEWORLD_BACKENDS = ("auto", "torch", "kernels"), ("auto", "torch", "triton")
"""What computes a world model's frames: one of our own, and a MineWorld."""


class Session(Protocol):
    """What a session can do. `sampler` may be replaced between frames."""

    sampler: SamplerConfig

    def begin(self) -> None:
        """Forget everything."""

    def write(self, tokens: Tensor, action: Tensor | None) -> None:
        """Take in a frame that exists.

        Args:
            tokens: int64 [N].
            action: compact, int64 [G], that led to it; None for the first frame.
        """

    def step(self, action: Tensor, uniform: np.ndarray) -> Tensor:
        """The next frame's tokens, int64 [N].

        Args:
            action: compact, int64 [G].
            uniform: all the randomness there is, float64 [N].
        """


class TorchSession:
    """A session in PyTorch, on any device."""

    def __init__(self, world: World, sampler: SamplerConfig):
        self.model, self.sampler = world.model, sampler
        self.begin()

    def begin(self) -> None:
        self.cache = RingCache.empty(self.model, 1)

    def write(self, tokens: Tensor, action: Tensor | None) -> None:
        device, known = self.cache.valid.device, torch.tensor([action is not None])
        given = torch.zeros(len(self.model.config.actions), dtype=torch.int64) if action is None else action
        write_frame(
            self.model,
            self.cache,
            tokens[None].to(device),
            given[None].to(device),
            known.to(device),
            self.sampler,
        )

    def step(self, action: Tensor, uniform: np.ndarray) -> Tensor:
        device = self.cache.valid.device
        draws = torch.from_numpy(uniform)[None].to(device, torch.float32)
        return decode_frame(self.model, self.cache, action[None].to(device), draws, self.sampler)[0]


class EngineSession:
    """A session in compiled kernels, on one CPU core."""

    def __init__(self, world: World, sampler: SamplerConfig):
        from playloop.worlds.engine import Engine

        self.engine, self.sampler = Engine(world.model), sampler
        self.begin()

    def begin(self) -> None:
        self.cache = self.engine.start()

    def write(self, tokens: Tensor, action: Tensor | None) -> None:
        self.engine.write_frame(self.cache, tokens, action, self.sampler)

    def step(self, action: Tensor, uniform: np.ndarray) -> Tensor:
        return self.engine.decode_frame(self.cache, action, uniform, self.sampler)


def open_session(world: World | MineWorldPlay, sampler: SamplerConfig, backend: str = "auto") -> Session:
    """A session.

    Args:
        world: the model.
        sampler: how tokens are drawn.
        backend: "kernels" (numba, CPU), "torch", or "auto": kernels on a CPU where numba is installed.
            A MineWorld is played in PyTorch everywhere, with "triton" by kernels for a GPU.

    Raises:
        ValueError: no such backend, or not on this device; or the model cannot draw so.
    """
    if not isinstance(world, World):
        from playloop.worlds.mineworld.session import MineWorldSession

        choose_kernels(world, backend)
        return MineWorldSession(world, world.resolved(sampler))
    on_cpu = world.model.head.weight.device.type == "cpu"
    compiled = importlib.util.find_spec("numba") is not None
    if backend == "auto":
        backend = "kernels" if on_cpu and compiled else "torch"
    if backend == "kernels" and not (on_cpu and compiled):
        raise ValueError("backend=kernels needs a CPU and numba; pip install numba, or use backend=torch")
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}: choose from {', '.join(BACKENDS)}")
    sampler.check(world.model.config)
    return EngineSession(world, sampler) if backend == "kernels" else TorchSession(world, sampler)


def choose_kernels(world: MineWorldPlay, backend: str) -> None:
    """Have a MineWorld computed by PyTorch ("torch", "auto") or by kernels for a GPU ("triton").

    Raises:
        ValueError: no such backend, or not on this device.
    """
    if backend not in MINEWORLD_BACKENDS:
        raise ValueError(f"backend={backend!r}: a MineWorld is played with {', '.join(MINEWORLD_BACKENDS)}")
    world.model.llama.choose_kernels("triton" if backend == "triton" else "torch", world.model.dtype)
