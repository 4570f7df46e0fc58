"""Players in one MineWorld: each has a row of the batch and a context of its own; they step in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from playloop.nn.graphs import Captured
from playloop.worlds.decode import SamplerConfig
from playloop.worlds.mineworld.decode import DecodeState, FrameTables, decode_frame, prefill
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.mineworld.sampler import MineWorldSampler
from playloop.worlds.mineworld.schedule import FrameSchedule


@dataclass
class Context:
    """What a player has seen.

    Args:
        frames: int64 [N] each.
        actions: between them, int64 [A] each.
        current: whether the player's row of the cache holds all of it.
    """

    frames: list[Tensor] = field(default_factory=list)
    actions: list[Tensor] = field(default_factory=list)
    current: bool = False

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

    def make_room(self, context: int, keep: int) -> None:
        """Forget all but the latest frames where another one would make more than `context`."""
        if len(self.frames) >= context:
            keep = min(keep, context - 1)
            self.frames = self.frames[-keep:]
            self.actions = self.actions[len(self.actions) - keep + 1 :]
            self.current = False

    def clip(self, size: int) -> tuple[Tensor, Tensor]:
        """Frames int64 [1, T, N] and the actions between them int64 [1, T - 1, size]."""
        frames = torch.stack(self.frames)[None]
        if not self.actions:
            return frames, frames.new_zeros(1, 0, size)
        return frames, torch.stack(self.actions)[None]


class MineWorldPlayers:
    """Up to so many players, who come, step and leave as they like.

    A context holds the model's 16 or 32 frames, the new one included. When a player's is full, the latest
    `keep` frames are read in again from position 0, as in the release's demo: that player's alone. Rows that
    do not step are computed with the others, for nothing, and stay as they are: a step takes as long for one
    of the players as for all.

    A player's frames follow from what that player was given. Only rounding can tell how many others there
    are: libraries sum in another order for another batch, and where two numbers nearly tie a token differs.

    Args:
        world: the model.
        sampler: how all players' tokens are drawn; may be replaced between steps.
        players: rows, each with room for a whole context.
        graphs: whether a GPU takes a step of all players as one CUDA graph; False launches every kernel by
            itself, for comparison.

    Raises:
        ValueError: the model cannot draw so, or there is no player.
    """

    def __init__(self, world: MineWorldPlay, sampler: SamplerConfig, players: int = 1, graphs: bool = True):
        world.check(sampler)
        if players < 1:
            raise ValueError(f"players={players}: there must be at least one")
        self.model, self.sampler, self.graphs = world.model, sampler, graphs
        self.state = DecodeState.empty(self.model, players)
        self.contexts = [Context() for _ in range(players)]
        self._tables: dict[FrameSchedule, FrameTables] = {}
        self._frame: tuple[MineWorldSampler, Captured] | None = None
        self._nothing = torch.zeros(self.action_size, dtype=torch.int64, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.state.base.device

    @property
    def action_size(self) -> int:
        """Tokens of an action."""
        return self.model.config.actions.length

    def begin(self, player: int) -> None:
        """Forget everything of a player, by number from 0; the row is free for another one."""
        self._check([player])
        self.contexts[player] = Context()

    def write(self, player: int, tokens: Tensor, action: Tensor | None) -> None:
        """Take in a frame that exists; see `worlds.session.Session`.

        Raises:
            ValueError: an action is missing, or too many, or there is no such player.
        """
        self._check([player])
        context = self.contexts[player]
        context.append(tokens.to(self.device), None if action is None else action.to(self.device))
        context.current = False  # all that is written is read in together, before the next step

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
        sampler = MineWorldSampler.of(self.sampler)
        schedule = sampler.schedule(self.model.config.rows, self.model.config.columns, self.action_size)
        for player in actions:
            self.contexts[player].make_room(self.model.config.context, sampler.keep)
            if not self.contexts[player].current:
                self._read_in(player, schedule)
        taken = {player: action.to(self.device) for player, action in actions.items()}
        inputs = self._inputs(taken, uniform)
        tokens = self._decoder(sampler, schedule)(*inputs).clone()  # a graph's next replay overwrites them
        for player, action in taken.items():
            self.contexts[player].append(tokens[player], action)
        return {player: tokens[player] for player in taken}

    def _inputs(self, taken: Mapping[int, Tensor], uniform: Mapping[int, np.ndarray]) -> tuple[Tensor, ...]:
        """Actions [B, A], draws [B, N], and where there are several players who moves, [B]."""
        players = range(len(self.contexts))
        acted = torch.stack([taken.get(player, self._nothing) for player in players])
        numbers = np.zeros((len(players), self.model.config.tokens))
        for player, drawn in uniform.items():
            numbers[player] = drawn
        draws = torch.from_numpy(numbers).to(self.device, torch.float32)
        if len(players) == 1:
            return acted, draws
        return acted, draws, torch.tensor([player in taken for player in players]).to(self.device)

    def _decoder(self, sampler: MineWorldSampler, schedule: FrameSchedule) -> Captured:
        """A frame of all rows as one function, on a GPU one CUDA graph; another sampler's is another."""
        if self._frame is None or self._frame[0] != sampler:
            model, state, tables = self.model, self.state, self._table(schedule)

            def decode(action: Tensor, uniform: Tensor, moves: Tensor | None = None) -> Tensor:
                return decode_frame(model, state, action, uniform, tables, sampler, moves)

            self._frame = sampler, Captured(decode, self.graphs, (state.base, state.frame))
        return self._frame[1]

    def _table(self, schedule: FrameSchedule) -> FrameTables:
        if schedule not in self._tables:
            self._tables[schedule] = FrameTables.of(schedule, self.state)
        return self._tables[schedule]

    def _read_in(self, player: int, schedule: FrameSchedule) -> None:
        """One player's context into that player's row."""
        row = self.state.rows(slice(player, player + 1))
        prefill(self.model, row, *self.contexts[player].clip(self.action_size), schedule)
        self.contexts[player].current = True

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
            if shapes != (wanted := ((self.action_size,), (self.model.config.tokens,))):
                raise ValueError(f"player {player}: action and draws are {shapes}, not {wanted}")
