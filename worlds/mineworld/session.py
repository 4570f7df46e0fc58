"""One session in a MineWorld: frames go in, actions make new ones, and old ones are forgotten."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from playloop.nn.graphs import Captured
from playloop.worlds.decode import SamplerConfig
from playloop.worlds.mineworld.decode import DecodeState, FrameTables, decode_frame, prefill
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.mineworld.sampler import MineWorldSampler
from playloop.worlds.mineworld.schedule import FrameSchedule


class MineWorldSession:
    """See `worlds.session.Session`.

    The context holds the model's 16 or 32 frames, the new one included. When it is full, the latest `keep`
    frames are read in again from position 0, as in the release's demo.

    Args:
        world: the model.
        sampler: how tokens are drawn.
        graphs: False launches every kernel by itself, for comparison.
    """

    def __init__(self, world: MineWorldPlay, sampler: SamplerConfig, graphs: bool = True):
        world.check(sampler)
        self.world, self.model, self.sampler, self.graphs = world, world.model, sampler, graphs
        self.state = DecodeState.empty(self.model)
        self._tables: dict[FrameSchedule, FrameTables] = {}
        self._frame: tuple[MineWorldSampler, Captured] | None = None
        self.begin()

    def begin(self) -> None:
        self.frames: list[Tensor] = []  # int64 [N], of the context
        self.actions: list[Tensor] = []  # int64 [A], between them
        self.current = False  # whether the cache holds them

    def write(self, tokens: Tensor, action: Tensor | None) -> None:
        if not self.frames and action is not None:
            raise ValueError("the first frame follows no action; give None")
        if self.frames:
            if action is None:
                raise ValueError("every frame but the first follows an action; give it, or begin anew")
            self.actions.append(action.to(self.device))
        self.frames.append(tokens.to(self.device))
        self.current = False  # all that is written is read in together, before the next step

    def step(self, action: Tensor, uniform: np.ndarray) -> Tensor:
        if not self.frames:
            raise ValueError("there is no frame to go on from; write one first")
        sampler = MineWorldSampler.of(self.sampler)
        schedule = sampler.schedule(self.model.config.rows, self.model.config.columns, len(action))
        self._make_room(sampler.keep)
        if not self.current:
            self._read_in(schedule)
        draws = torch.from_numpy(uniform)[None].to(self.device, torch.float32)
        taken = action.to(self.device)
        tokens = self._decoder(sampler, schedule)(taken[None], draws)[0].clone()
        self.frames.append(tokens)
        self.actions.append(taken)
        return tokens

    def _decoder(self, sampler: MineWorldSampler, schedule: FrameSchedule) -> Captured:
        """A frame as one function, on a GPU one CUDA graph, captured again for another sampler."""
        if self._frame is None or self._frame[0] != sampler:
            model, state, tables = self.model, self.state, self.tables(schedule)

            def decode(action: Tensor, uniform: Tensor) -> Tensor:
                return decode_frame(model, state, action, uniform, tables, sampler)

            self._frame = sampler, Captured(decode, self.graphs, (state.base, state.frame))
        return self._frame[1]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.state.base.device

    def tables(self, schedule: FrameSchedule) -> FrameTables:
        """The tables of a schedule, made once."""
        if schedule not in self._tables:
            self._tables[schedule] = FrameTables.of(schedule, self.state)
        return self._tables[schedule]

    def _make_room(self, keep: int) -> None:
        context = self.model.config.context
        if len(self.frames) >= context:
            keep = min(keep, context - 1)
            self.frames = self.frames[-keep:]
            self.actions = self.actions[len(self.actions) - keep + 1 :]
            self.current = False

    def _read_in(self, schedule: FrameSchedule) -> None:
        tokens = torch.stack(self.frames)[None]
        none = tokens.new_zeros(0, schedule.actions)
        actions = torch.stack(self.actions) if self.actions else none
        prefill(self.model, self.state, tokens, actions[None], schedule)
        self.current = True
