"""A frame of MineWorld over a static cache of the whole context.

Every pass has the same shapes in every frame, and where each row of the batch stands is a number on the
device: no pass waits for the host, so that a frame can be captured as one CUDA graph and replayed, whatever
the rows are busy with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache as kept_for_good

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.nn.decoder import Rotary, StaticCache, put
from playloop.nn.graphs import Captured
from playloop.worlds.decode import decode_frame, shared
from playloop.worlds.mineworld.clip import clip_schedule
from playloop.worlds.mineworld.model import MineWorld
from playloop.worlds.players import Context
from playloop.worlds.sampler import CLEAN, SamplerConfig
from playloop.worlds.schedule import Schedule, StepIndex, placeholder_tokens


@dataclass
class ContextCache(StaticCache):
    """Sessions' memory, one a row: slots for the model's whole context, written in place.

    Args:
        keys: [B, K, positions, E] for each layer, positions applied.
        values: likewise.
        rotary: of its positions.
        base: slot of the next unit's first token, int64 [B]; the last frame's last token is just before it.
            0 where a row holds no frame.
        frame: tokens of the last frame, int64 [B, N].
        first: of the first frame that the context began with, likewise.
    """

    rotary: Rotary
    base: Tensor
    frame: Tensor
    first: Tensor

    @classmethod
    def for_model(cls, model: MineWorld, batch: int = 1, dtype: torch.dtype | None = None) -> ContextCache:
        """Room for the model's context, on its device."""
        config, device = model.config, model.head.weight.device
        shape = config.positions, dtype or model.dtype, device
        frame, first = (torch.zeros(batch, config.tokens, dtype=torch.int64, device=device) for _ in range(2))
        base, rotary = torch.zeros(batch, dtype=torch.int64, device=device), Rotary(config.sizes, *shape)
        return cls.empty(config.sizes, batch, *shape, rotary=rotary, base=base, frame=frame, first=first)

    def clear(self, slots: Tensor) -> None:
        """Make the slots zeros: the release's rules see them before they are written, and a row that stood
        still or a run before a capture may have left something there."""
        for buffer in (*self.keys, *self.values):
            batch, groups, _, size = buffer.shape
            put(buffer, slots, buffer.new_zeros(1).expand(batch, groups, slots.shape[-1], size))

    def passes(
        self, model: MineWorld, action: Tensor, sampler: SamplerConfig, moves: Tensor | None = None
    ) -> ContextPasses:
        """See `worlds.decode.FrameCache`."""
        return ContextPasses(model, self, action, sampler, moves)


@kept_for_good  # recorded graphs read it
def own_bias(schedule: Schedule, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The bias of every query against its own unit, [queries + 1, slots]; the last row is that of the last
    token of the frame before, which sees none of it."""
    visible = torch.cat([schedule.visible, torch.zeros(1, schedule.slots, dtype=torch.bool)])
    return torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, float("-inf")).to(device)


@torch.inference_mode()
def prefill(
    model: MineWorld, cache: ContextCache, tokens: Tensor, actions: Tensor, schedule: Schedule
) -> None:
    """Begin anew with frames int64 [B, T, N], T less than the context, and the actions between them.

    They see each other as decoded ones do. What was in the cache is zero afterwards: the release's rules see
    slots before they are written. `cache.rows` begins with some rows alone.
    """
    clip = clip_schedule(schedule, tokens.shape[1])
    if clip.length + schedule.slots > cache.length:
        raise ValueError(f"{clip.frames} frames leave no room for another one in {cache.length} slots")
    for buffer in (*cache.keys, *cache.values):
        buffer.zero_()
    x = model.token(model.sequence(tokens, actions)).to(cache.dtype)
    model.encode(x, clip, cache, cache.rotary)
    cache.base.fill_(clip.length)
    cache.frame.copy_(tokens[:, -1])
    cache.first.copy_(tokens[:, 0])


class ContextPasses:
    """See `worlds.decode.FramePasses`."""

    def __init__(
        self,
        model: MineWorld,
        cache: ContextCache,
        action: Tensor,
        sampler: SamplerConfig,
        moves: Tensor | None,
    ):
        self.model, self.cache, self.action, self.sampler = model, cache, action, model.resolved(sampler)
        self.schedule, self.fused = model.config.schedule(self.sampler), model.llama.kernels == "triton"
        self.base, slots = cache.base, self.schedule.slots
        if moves is not None:
            self.base = cache.base.clamp(1, cache.length - slots)
        unit = shared(self.base[:, None] + torch.arange(slots, device=self.base.device))
        self.bias = self._bias(unit)
        if self.sampler.rules != CLEAN:
            cache.clear(unit)

    def _bias(self, unit: Tensor) -> Tensor:
        """Bias of the queries against the cache, [B, queries + 1, slots]; a row's unit lies at `unit`."""
        cache, count = self.cache, len(self.base)
        own = own_bias(self.schedule, cache.dtype, self.base.device)
        past = torch.zeros(count, cache.length, dtype=own.dtype, device=own.device)
        past.masked_fill_(torch.arange(cache.length, device=own.device) >= self.base[:, None], float("-inf"))
        whole = past[:, None].repeat(1, len(own), 1)
        put(whole, unit, own.expand(count, -1, -1))
        return whole

    def logits(self, step: StepIndex, tokens: Tensor) -> Tensor:
        queries, slots = step.queries, step.positions
        if not step.opens:
            x = self._inputs(step, tokens)
        else:  # the last token of the frame before stands in front of the action
            x = self.model.token(torch.cat([self.cache.frame[:, -1:], self.action], 1))
            queries = F.pad(queries, (1, 0), value=self.schedule.queries)
            slots = F.pad(slots, (1, 0), value=-1)
        positions = self.base[:, None] + slots  # [B, n]
        hidden = self.model.llama(
            x.to(self.cache.dtype),
            self.cache.rotary.at(positions),
            self.bias.index_select(1, queries)[:, None],
            self.cache,
            shared(positions[:, : step.written]),
        )
        return self.model.visual(hidden[:, step.reading])

    def _inputs(self, step: StepIndex, tokens: Tensor) -> Tensor:
        """A pass's queries behind the first as vectors, [B, n, D]."""
        fed = self.model.token(tokens[:, step.fed])
        if not len(step.rows):
            return fed
        ends, opened = placeholder_tokens(self.schedule, step.rows)
        before = {"before": self.cache.frame, "first": self.cache.first}.get(self.sampler.source)
        ids = tokens[:, opened] if before is None else before[:, ends]
        clean = self.sampler.rules == CLEAN
        starts = self.model.ask(step.rows, ids) if clean else self.model.token(ids)
        return torch.cat([fed, starts], 1)

    def close(self, tokens: Tensor, moves: Tensor | None) -> None:
        cache, slots = self.cache, self.schedule.slots
        if moves is None:
            cache.frame.copy_(tokens)
            cache.base += slots
        else:
            cache.frame.copy_(torch.where(moves[:, None], tokens, cache.frame))
            cache.base += moves * slots


class ContextBackend:
    """PyTorch, on a GPU one CUDA graph a frame, or kernels for a GPU; see `worlds.players.Backend`.

    A context holds the model's 16 or 32 frames, the new one included. When a player's is full, the latest
    `keep` frames are read in again from position 0, as in the release's demo: that player's alone.
    """

    def __init__(self, model: MineWorld, players: int, graphs: bool = True):
        self.model, self.graphs = model, graphs
        self.cache = ContextCache.for_model(model, players)
        self._frame: tuple[SamplerConfig, Captured] | None = None

    @property
    def name(self) -> str:
        """Kernels and precision."""
        return f"{self.model.llama.kernels}, {str(self.model.dtype).removeprefix('torch.')}"

    def begin(self, player: int) -> None:
        """The row is read in whole before the next frame."""

    def prepare(self, player: int, context: Context, sampler: SamplerConfig) -> None:
        most = self.model.config.context
        if len(context.frames) >= most:
            context.trim(min(sampler.keep, most - 1))
            context.held = 0
        if not context.current:
            row = self.cache.rows(slice(player, player + 1))
            prefill(self.model, row, *context.clip(), self.model.config.schedule(sampler))
            context.held = len(context.frames)

    def step(
        self, action: Tensor, uniform: np.ndarray, sampler: SamplerConfig, moves: Tensor | None
    ) -> Tensor:
        draws = torch.from_numpy(uniform).to(action.device, torch.float32)
        inputs = (action, draws) if moves is None else (action, draws, moves)
        tokens: Tensor = self._decoder(sampler)(*inputs)
        return tokens

    def _decoder(self, sampler: SamplerConfig) -> Captured:
        """A frame of all rows as one function, on a GPU one CUDA graph; another sampler's is another."""
        if self._frame is None or self._frame[0] != sampler:
            model, cache = self.model, self.cache

            def decode(action: Tensor, uniform: Tensor, moves: Tensor | None = None) -> Tensor:
                return decode_frame(model, cache, action, uniform, sampler, moves)

            self._frame = sampler, Captured(decode, self.graphs, (cache.base, cache.frame))
        return self._frame[1]
