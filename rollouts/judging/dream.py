"""Imagining clips: true frames to begin with, then a frame for every action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from playloop.worlds.cache import RingCache
from playloop.worlds.checkpoint import World
from playloop.worlds.decode import SamplerConfig, decode_frame, write_frame
from playloop.worlds.session import EngineSession, Session, open_session


@dataclass(frozen=True)
class Start:
    """What a clip begins with and what is asked of it.

    Args:
        tokens: of the true frames, int64 [T, N].
        actions: as the model takes them, int64 [T - 1 + F, G]: between the true frames, then one for each
            imagined frame.
        uniform: all the randomness there is, float64 [F, N].
    """

    tokens: np.ndarray
    actions: np.ndarray
    uniform: np.ndarray


class Dreamer:
    """Imagines clips: one by one with compiled kernels on a CPU, in batches with PyTorch.

    With kernels a clip is the same to the bit whatever else is imagined; PyTorch's sums are grouped by the
    size of the batch, and where two numbers nearly tie a token may differ.

    Args:
        world: the model.
        sampler: how tokens are drawn.
        backend: "kernels", "torch" or "auto", see `worlds.session`.
        batch: clips at a time in PyTorch.
    """

    def __init__(self, world: World, sampler: SamplerConfig, backend: str = "auto", batch: int = 16):
        self.world, self.sampler = world, sampler
        self.session = open_session(world, sampler, backend)
        self.compiled = isinstance(self.session, EngineSession)
        self.batch = 1 if self.compiled else batch

    @property
    def backend(self) -> str:
        """What is used: "kernels" or "torch"."""
        return "kernels" if self.compiled else "torch"

    def dream(self, starts: Sequence[Start], window: int) -> list[np.ndarray]:
        """The tokens of the imagined frames, int64 [F, N] for each start; all starts are of one shape."""
        sampler = replace(self.sampler, window=window)
        if self.compiled:
            return [self._alone(start, self.session, sampler) for start in starts]
        return list(self._together(starts, sampler))

    def _alone(self, start: Start, session: Session, sampler: SamplerConfig) -> np.ndarray:
        actions = torch.from_numpy(start.actions)
        known = len(start.tokens)
        session.sampler = sampler
        session.begin()
        for number, frame in enumerate(torch.from_numpy(start.tokens)):
            session.write(frame, actions[number - 1] if number else None)
        found = [
            session.step(actions[known - 1 + step], start.uniform[step]) for step in range(len(start.uniform))
        ]
        return torch.stack(found).numpy()

    def _together(self, starts: Sequence[Start], sampler: SamplerConfig) -> np.ndarray:
        model = self.world.model
        device = model.head.weight.device
        tokens, actions = (
            torch.from_numpy(np.stack([getattr(start, name) for start in starts])).to(device)
            for name in ("tokens", "actions")
        )
        uniform = torch.from_numpy(np.stack([start.uniform for start in starts])).to(device, torch.float32)
        cache, known = RingCache.empty(model, len(starts)), tokens.shape[1]
        for number in range(known):
            has_action = torch.full((len(starts),), number > 0, device=device)
            write_frame(model, cache, tokens[:, number], actions[:, max(number - 1, 0)], has_action, sampler)
        found = [
            decode_frame(model, cache, actions[:, known - 1 + step], uniform[:, step], sampler)
            for step in range(uniform.shape[1])
        ]
        return torch.stack(found, 1).cpu().numpy()
