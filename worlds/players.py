"""Players in one world model: each has a row of the batch and a context of its own; they step in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from playloop.worlds.sampler import SamplerConfig


@dataclass
class Context:
    """What a player has seen.

    Args:
        nothing: an action of zeros, int64 [A], on the device.
        frames: int64 [N] each.
        actions: between them, int64 [A] each.
        held: frames, the first, that the player's row of the cache holds.
    """

    nothing: Tensor
    frames: list[Tensor] = field(default_factory=list)
    actions: list[Tensor] = field(default_factory=list)
    held: int = 0

    def append(self, tokens: Tensor, action: Tensor | None) -> None:
        """One more frame, and the action that led to it; None before the first.

        Raises:
            ValueError: an action is missing, or too many.
        """
        if not self.frames and action is not None:
            raise ValueError("the first frame follows no action; give None")
        if self.frames:
            if action is None:
                raise ValueError("every frame but the first follows an action; give it, or begin anew")
            self.actions.append(action)
        self.frames.append(tokens)

    @property
    def current(self) -> bool:
        """Whether the cache holds all of it."""
        return self.held == len(self.frames)

    def unread(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The frames that the cache does not hold yet, each with the action that led to it."""
        for number in range(self.held, len(self.frames)):
            yield self.frames[number], self.actions[number - 1] if number else None
        self.held = len(self.frames)

    def trim(self, count: int) -> None:
        """Forget all but the latest `count` frames."""
        dropped = max(len(self.frames) - count, 0)
        self.frames, self.actions = self.frames[dropped:], self.actions[dropped:]
        self.held = max(self.held - dropped, 0)

    def clip(self) -> tuple[Tensor, Tensor]:
        """Frames int64 [1, T, N] and the actions between them int64 [1, T - 1, A]."""
        frames = torch.stack(self.frames)[None]
        if not self.actions:
            return frames, frames.new_zeros(1, 0, len(self.nothing))
        return frames, torch.stack(self.actions)[None]


class Backend(Protocol):
    """What computes players' frames: PyTorch over a ring or over a static cache, or compiled kernels."""

    @property
    def name(self) -> str:
        """What is used, all of it that can change a token."""

    def begin(self, player: int) -> None:
        """The player's row is empty."""

    def prepare(self, player: int, context: Context, sampler: SamplerConfig) -> None:
        """Have the row hold the context, with room for one frame more; old frames may be forgotten."""

    def step(
        self, action: Tensor, uniform: np.ndarray, sampler: SamplerConfig, moves: Tensor | None
    ) -> Tensor:
        """The next frames' tokens, int64 [players, N], after actions int64 [players, A], drawn with float64
        [players, N]; `moves` says who steps, bool [players], None for all."""


class Players:
    """Up to so many players, who come, step and leave as they like.

    Rows that do not step stay as they are: in PyTorch they are computed with the others, for nothing, and a
    step takes as long for one of the players as for all.

    A player's frames follow from what that player was given. Only rounding can tell how many others there
    are: libraries sum in another order for another batch, and where two numbers nearly tie a token differs.

    Args:
        backend: what computes, with a row for each player.
        sampler: how all players' tokens are drawn, with everything named; may be replaced between steps.
        count: of the players.
        tokens: of a frame.
        nothing: an action of zeros, int64 [A], on the device.
    """

    def __init__(self, backend: Backend, sampler: SamplerConfig, count: int, tokens: int, nothing: Tensor):
        self.backend, self.sampler, self.tokens, self.nothing = backend, sampler, tokens, nothing
        self.contexts = [Context(nothing) for _ in range(count)]

    def begin(self, player: int) -> None:
        """Forget everything of a player, by number from 0; the row is free for another one."""
        self._check([player])
        self.contexts[player] = Context(self.nothing)
        self.backend.begin(player)

    def write(self, player: int, tokens: Tensor, action: Tensor | None) -> None:
        """Take in a frame that exists, int64 [N], and the action int64 [A] that led to it; None before the
        first.

        Raises:
            ValueError: an action is missing, or too many, or there is no such player.
        """
        self._check([player])
        device = self.nothing.device
        self.contexts[player].append(tokens.to(device), None if action is None else action.to(device))

    def enter(self, player: int, tokens: Tensor, actions: Tensor) -> None:
        """Begin anew with frames int64 [T, N] and the actions between them int64 [T - 1, A]."""
        self.begin(player)
        for number, frame in enumerate(tokens):
            self.write(player, frame, actions[number - 1] if number else None)

    def step(self, actions: Mapping[int, Tensor], uniform: Mapping[int, np.ndarray]) -> dict[int, Tensor]:
        """The next frames of those players who act; the others wait.

        Args:
            actions: int64 [A] by player.
            uniform: all the randomness there is, float64 [N] in [0, 1) by player.

        Returns:
            Tokens int64 [N] by player.

        Raises:
            ValueError: a player has no frame to go on from, or something has a wrong shape; nobody moved.
        """
        self._check_step(actions, uniform)
        for player in actions:
            self.backend.prepare(player, self.contexts[player], self.sampler)
        taken = {player: action.to(self.nothing.device) for player, action in actions.items()}
        players = range(len(self.contexts))
        acted = torch.stack([taken.get(player, self.nothing) for player in players])
        draws = np.zeros((len(players), self.tokens))
        for player, numbers in uniform.items():
            draws[player] = numbers
        moves = torch.tensor([player in taken for player in players]).to(acted.device)
        tokens = self.backend.step(acted, draws, self.sampler, moves if len(players) > 1 else None)
        tokens = tokens.clone()  # a graph's replay overwrites them
        for player, action in taken.items():
            self.contexts[player].append(tokens[player], action)
            self.contexts[player].held += 1
        return {player: tokens[player] for player in taken}

    def _check(self, players: Iterable[int]) -> None:
        if unknown := [player for player in players if not 0 <= player < len(self.contexts)]:
            raise ValueError(f"player {unknown[0]}: there are {len(self.contexts)}, from 0")

    def _check_step(self, actions: Mapping[int, Tensor], uniform: Mapping[int, np.ndarray]) -> None:
        self._check(actions)
        if not actions or actions.keys() != uniform.keys():
            raise ValueError(
                f"players {sorted(actions)} act and {sorted(uniform)} have numbers to draw with; who steps "
                "needs both, and there must be at least one"
            )
        for player, action in actions.items():
            if not self.contexts[player].frames:
                raise ValueError(f"player {player}: there is no frame to go on from; write one first")
            shapes = tuple(action.shape), tuple(uniform[player].shape)
            if shapes != (wanted := (tuple(self.nothing.shape), (self.tokens,))):
                raise ValueError(f"player {player}: action and draws are {shapes}, not {wanted}")
