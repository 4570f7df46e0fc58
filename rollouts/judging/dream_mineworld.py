"""Imagining clips with a MineWorld: each clip is a player, and on a GPU several step together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from playloop.nn.quantize import Kind
from playloop.rollouts.judging.dream import Start
from playloop.worlds.decode import SamplerConfig
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.mineworld.players import MineWorldPlayers
from playloop.worlds.session import choose_kernels


class MineWorldDreamer:
    """As `Dreamer`. The batch has always as many rows, so that a clip is the same whatever else is imagined.

    Args:
        world: the model.
        sampler: how tokens are drawn.
        backend: "torch", "triton" or "auto", see `worlds.session`.
        batch: clips at a time; each takes the room of a whole context.
        weights: what the model's are kept in, for the record.

    Raises:
        ValueError: no such backend, or not on this device.
    """

    def __init__(
        self,
        world: MineWorldPlay,
        sampler: SamplerConfig,
        backend: str = "auto",
        batch: int = 16,
        weights: Kind | None = None,
    ):
        choose_kernels(world, backend)
        self.world, self.sampler, self._weights = world, world.resolved(sampler), weights
        self.batch, self.players = batch, MineWorldPlayers(world, self.sampler, batch)

    @property
    def backend(self) -> str:
        """What is used: kernels, precision and bits of the weights, all of which can change a token."""
        parts = self.world.model.llama.kernels, str(self.world.model.dtype).removeprefix("torch.")
        return ", ".join((*parts, self._weights) if self._weights else parts)

    def dream(self, starts: Sequence[Start], window: int) -> list[np.ndarray]:
        """The tokens of the imagined frames, int64 [F, N] for each of at most `batch` starts of one shape."""
        players = self.players
        players.sampler = replace(self.sampler, window=window)
        known, count = len(starts[0].tokens), len(starts[0].uniform)
        actions = [torch.from_numpy(start.actions) for start in starts]
        for player, start in enumerate(starts):
            players.begin(player)
            for number, frame in enumerate(torch.from_numpy(start.tokens)):
                players.write(player, frame, actions[player][number - 1] if number else None)
        found = []
        for step in range(count):
            acted = {player: taken[known - 1 + step] for player, taken in enumerate(actions)}
            drawn = {player: start.uniform[step] for player, start in enumerate(starts)}
            moved = players.step(acted, drawn)
            found.append(torch.stack([moved[player] for player in range(len(starts))]))
        return list(torch.stack(found, 1).cpu().numpy())
