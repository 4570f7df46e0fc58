"""One session in a MineWorld: frames go in, actions make new ones, and old ones are forgotten."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from playloop.worlds.decode import SamplerConfig
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.mineworld.players import MineWorldPlayers


class MineWorldSession:
    """See `worlds.session.Session`; `MineWorldPlayers` with one player.

    Args:
        world: the model.
        sampler: how tokens are drawn.
        graphs: False launches every kernel by itself, for comparison.
    """

    def __init__(self, world: MineWorldPlay, sampler: SamplerConfig, graphs: bool = True):
        self.players = MineWorldPlayers(world, sampler, graphs=graphs)

    @property
    def sampler(self) -> SamplerConfig:
        """How tokens are drawn."""
        return self.players.sampler

    @sampler.setter
    def sampler(self, sampler: SamplerConfig) -> None:
        self.players.sampler = sampler

    def begin(self) -> None:
        self.players.begin(0)

    def write(self, tokens: Tensor, action: Tensor | None) -> None:
        self.players.write(0, tokens, action)

    def step(self, action: Tensor, uniform: np.ndarray) -> Tensor:
        return self.players.step({0: action}, {0: uniform})[0]

    @property
    def frames(self) -> list[Tensor]:
        """Of the context, int64 [N] each."""
        return self.players.contexts[0].frames

    @property
    def actions(self) -> list[Tensor]:
        """Between them, int64 [A] each."""
        return self.players.contexts[0].actions
