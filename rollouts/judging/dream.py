"""Imagining clips: true frames to begin with, then a frame for every action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from playloop.nn.quantize import Kind
from playloop.worlds.playable import Playable
from playloop.worlds.sampler import SamplerConfig


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
    """Imagines clips, several in one batch where that is faster.

    The batch has always as many rows, so that a clip is the same whatever else is imagined. Sums are grouped
    by the size of the batch: with another one, where two numbers nearly tie, a token may differ.

    Args:
        world: the model.
        sampler: how tokens are drawn.
        backend: one of `world.backends`.
        batch: clips at a time; each takes the memory of a whole context.
        weights: what the model's are kept in, for the record.

    Raises:
        ValueError: no such backend, or not on this device; or the model cannot draw so.
    """

    def __init__(
        self,
        world: Playable[Any, Any],
        sampler: SamplerConfig,
        backend: str = "auto",
        batch: int = 16,
        weights: Kind | None = None,
    ):
        self.sampler, self.weights, self.batch = world.resolved(sampler), weights, batch
        self.players = world.players(self.sampler, batch, backend)

    @property
    def backend(self) -> str:
        """What is used, all of it that can change a token."""
        name = self.players.backend.name
        return f"{name}, {self.weights}" if self.weights else name

    def dream(self, starts: Sequence[Start], window: int) -> list[np.ndarray]:
        """The tokens of the imagined frames, int64 [F, N] for each of at most `batch` starts of one shape."""
        players, found = self.players, []
        players.sampler = replace(self.sampler, window=window)
        actions = [torch.from_numpy(start.actions) for start in starts]
        known = len(starts[0].tokens)
        for player, start in enumerate(starts):
            players.enter(player, torch.from_numpy(start.tokens), actions[player][: known - 1])
        for step in range(len(starts[0].uniform)):
            acted = {player: taken[known - 1 + step] for player, taken in enumerate(actions)}
            drawn = {player: start.uniform[step] for player, start in enumerate(starts)}
            moved = players.step(acted, drawn)
            found.append(torch.stack([moved[player] for player in range(len(starts))]))
        return list(torch.stack(found, 1).cpu().numpy())
