"""One session in a world model: frames go in, actions make new ones. The fastest way that the machine has."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from playloop.worlds.playable import Playable
from playloop.worlds.players import Players
from playloop.worlds.sampler import SamplerConfig


class Session:
    """A single player.

    Args:
        players: with one row.
    """

    def __init__(self, players: Players):
        self.players = players

    @property
    def sampler(self) -> SamplerConfig:
        """How tokens are drawn; may be replaced between frames."""
        return self.players.sampler

    @sampler.setter
    def sampler(self, sampler: SamplerConfig) -> None:
        self.players.sampler = sampler

    def begin(self) -> None:
        """Forget everything."""
        self.players.begin(0)

    def write(self, tokens: Tensor, action: Tensor | None) -> None:
        """Take in a frame that exists, int64 [N], and the action int64 [A] that led to it; None before the
        first."""
        self.players.write(0, tokens, action)

    def enter(self, tokens: Tensor, actions: Tensor) -> None:
        """Begin anew with frames int64 [T, N] and the actions between them int64 [T - 1, A]."""
        self.players.enter(0, tokens, actions)

    def step(self, action: Tensor, uniform: np.ndarray) -> Tensor:
        """The next frame's tokens, int64 [N].

        Args:
            action: int64 [A].
            uniform: all the randomness there is, float64 [N].
        """
        return self.players.step({0: action}, {0: uniform})[0]

    @property
    def frames(self) -> list[Tensor]:
        """Of the context, int64 [N] each."""
        return self.players.contexts[0].frames

    @property
    def actions(self) -> list[Tensor]:
        """Between them, int64 [A] each."""
        return self.players.contexts[0].actions


def open_session(
    world: Playable[Any, Any], sampler: SamplerConfig, backend: str = "auto", graphs: bool = True
) -> Session:
    """A session.

    Args:
        world: the model.
        sampler: how tokens are drawn; what is None in it is the model's own.
        backend: one of `world.backends`; "auto" is the fastest here.
        graphs: False launches every kernel by itself, for comparison.

    Raises:
        ValueError: no such backend, or not on this device; or the model cannot draw so.
    """
    return Session(world.players(sampler, 1, backend, graphs))
