"""Decoding over the keys and values of the last frames in a ring: sessions without an end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from playloop.nn.decoder import StaticCache, put
from playloop.nn.llama import attend_grouped
from playloop.worlds.decode import decode_frame
from playloop.worlds.model import WorldModel
from playloop.worlds.players import Context
from playloop.worlds.sampler import SamplerConfig
from playloop.worlds.schedule import Schedule, StepIndex


@dataclass
class RingCache(StaticCache):
    """Sessions' memory, one a row: a block of slots for each of the last `context` + 1 frames.

    One block more than the context, because a frame's last token is fed together with the next frame's
    action, and still sees the oldest frame of its own context.

    Args:
        keys: [B, K, blocks * slots, E] for each layer, positions applied.
        values: likewise.
        valid: whether a row's block holds a frame of its own session, bool [B, blocks].
        clock: frames written so far, int64 [B]; the frame being written lies in block clock % blocks.
        slots: of a block.
        dtype: what is computed in.
        frame: tokens of the latest frame, int64 [B, N].
        pending: its last token as input, [B, 1, D]; its slot is written with the next frame.
    """

    valid: Tensor
    clock: Tensor
    slots: int
    dtype: torch.dtype
    frame: Tensor
    pending: Tensor

    @classmethod
    def for_model(
        cls, model: WorldModel, batch: int, dtype: torch.dtype | None = None, buffers: bool = True
    ) -> RingCache:
        """A cache without frames, on the model's device.

        Args:
            model: whose sizes it has.
            batch: sessions.
            dtype: what is computed in, if not the model's own type.
            buffers: False for the bookkeeping alone, where somebody else keeps keys and values.
        """
        config, weight = model.config, model.head.weight
        slots, blocks, dtype = 1 + config.rows * config.columns, config.context + 1, dtype or weight.dtype
        shape = (batch, config.groups, blocks * slots, config.width // config.heads)
        layers = model.blocks if buffers else ()
        keys, values = (
            [torch.zeros(shape, dtype=dtype, device=weight.device) for _ in layers] for _ in range(2)
        )
        valid = torch.zeros(batch, blocks, dtype=torch.bool, device=weight.device)
        clock = torch.zeros(batch, dtype=torch.int64, device=weight.device)
        frame = torch.zeros(batch, slots - 1, dtype=torch.int64, device=weight.device)
        pending = torch.zeros(batch, 1, config.width, dtype=weight.dtype, device=weight.device)
        return cls(keys, values, valid, clock, slots, dtype, frame, pending)

    def rows(self, chosen: slice) -> RingCache:
        """Some rows, as views: what is done to them is done here."""
        keys, values = ([buffer[chosen] for buffer in half] for half in (self.keys, self.values))
        valid, clock, frame, pending = (
            part[chosen] for part in (self.valid, self.clock, self.frame, self.pending)
        )
        return RingCache(keys, values, valid, clock, self.slots, self.dtype, frame, pending)

    @property
    def blocks(self) -> int:
        """Frames that the ring has room for."""
        return self.valid.shape[1]

    def block(self, age: int = 0) -> Tensor:
        """Slots of the block of the frame `age` frames before the one being written, int64 [B, slots]."""
        first = (self.clock - age) % self.blocks * self.slots
        return first[:, None] + torch.arange(self.slots, device=first.device)

    def holds(self, age: int) -> Tensor:
        """Whether the frame `age` frames before the one being written is the session's, bool [B, 1]."""
        return self.valid.gather(1, ((self.clock - age) % self.blocks)[:, None])

    def past(self, age: int) -> Tensor:
        """Which slots the frame `age` frames ago sees in other frames, bool [B, blocks * slots]."""
        blocks = torch.arange(self.blocks, device=self.valid.device)
        ages = (self.clock[:, None] - age - blocks) % self.blocks
        return (self.valid & (ages > 0) & (ages < self.blocks - 1)).repeat_interleave(self.slots, 1)

    def close(self, frame: Tensor, pending: Tensor, moves: Tensor | None = None) -> None:
        """The frame is written; the next one takes the oldest block, which nobody sees from now on.

        Args:
            frame: its tokens, int64 [B, N].
            pending: its last token as input, [B, 1, D].
            moves: rows that go on, bool [B]; None for all.
        """
        moves = torch.ones_like(self.clock, dtype=torch.bool) if moves is None else moves
        blocks = torch.arange(self.blocks, device=self.valid.device)
        written = blocks == (self.clock % self.blocks)[:, None]
        oldest = blocks == ((self.clock + 1) % self.blocks)[:, None]
        self.valid.copy_(torch.where(moves[:, None], (self.valid | written) & ~oldest, self.valid))
        self.frame.copy_(torch.where(moves[:, None], frame, self.frame))
        self.pending.copy_(torch.where(moves[:, None, None], pending, self.pending))
        self.clock += moves

    def forget(self) -> None:
        """Begin new sessions in all rows; `rows` begins in some."""
        self.valid.zero_()
        self.clock.zero_()

    def passes(
        self, model: WorldModel, action: Tensor, sampler: SamplerConfig, moves: Tensor | None = None
    ) -> RingPasses:
        """See `worlds.decode.FrameCache`."""
        return RingPasses(model, self, action, sampler)


@dataclass
class Turn:
    """Where the queries of one pass stand.

    Args:
        slots: in the cache, of the queries that are written, int64 [written] or each row's own [B, written].
        cosines: [B, n, 1, E / 2].
        sines: likewise.
        bias: [B, 1, n, slots of the cache].
    """

    slots: Tensor
    cosines: Tensor
    sines: Tensor
    bias: Tensor


def run_queries(model: WorldModel, x: Tensor, turn: Turn, cache: RingCache) -> Tensor:
    """One pass: x [B, n, D] through all layers; the first queries leave keys and values in the cache."""
    written = turn.slots.shape[-1]
    for layer, block in enumerate(model.layers()):
        queries, keys, values = block.attention.split(block.norm_attention(x), turn.cosines, turn.sines)
        keys, values = cache.write(layer, turn.slots, keys[:, :, :written], values[:, :, :written])
        x = block.finish(x, attend_grouped(queries, keys, values, turn.bias))
    return model.norm(x)


def _shared(slots: Tensor) -> Tensor:
    """Slots [B, n] as `put` copies them fastest: one row's are those of all rows, [n]."""
    return slots[0] if len(slots) == 1 else slots


class FrameTurns:
    """Positions and masks of one frame, made once a frame and cut by pass."""

    def __init__(self, model: WorldModel, schedule: Schedule, cache: RingCache):
        self.cache, self.dtype, device = cache, cache.dtype, cache.valid.device
        times = torch.stack([cache.clock - 1, cache.clock], 1)  # [B, 2]
        tables = model.positions.of_frames(times.flatten(), self.dtype)
        self.rotary = [
            table.unflatten(0, (*times.shape, -1)) for table in tables
        ]  # [B, 2, queries, 1, E / 2]
        self.own = cache.block()
        seen = cache.past(0)[:, None].repeat(1, schedule.queries, 1)  # [B, queries, slots]
        put(seen, _shared(self.own), schedule.visible.to(device).expand(len(seen), -1, -1))
        self.bias = self._bias(seen)[:, None]

    def _bias(self, seen: Tensor) -> Tensor:
        zeros = torch.zeros(seen.shape, dtype=self.dtype, device=seen.device)
        return zeros.masked_fill_(~seen, float("-inf"))

    def at(self, queries: Tensor, written: int) -> Turn:
        """The turn of these queries [n] of the new frame, of which the first `written` are written."""
        cosines, sines = (table[:, 1, queries] for table in self.rotary)
        slots = self.own[:, queries[:written]]
        return Turn(_shared(slots), cosines, sines, self.bias[:, :, queries])

    def opening(self) -> Turn:
        """The first pass: the last token of the frame before, then this frame's action."""
        cache, last = self.cache, self.cache.slots - 1
        seen, before = cache.past(1)[:, None], cache.block(1)  # [B, 1, slots]
        put(seen, _shared(before), cache.holds(1)[:, None].expand(-1, -1, cache.slots))
        bias = torch.cat([self._bias(seen)[:, None], self.bias[:, :, :1]], 2)
        slots = torch.stack([before[:, last], self.own[:, 0]], 1)
        cosines, sines = (torch.stack([table[:, 0, last], table[:, 1, 0]], 1) for table in self.rotary)
        return Turn(_shared(slots), cosines, sines, bias)


class FrameInputs:
    """What enters every query of one frame besides its own token, and the queries' embeddings made of it."""

    def __init__(
        self, model: WorldModel, cache: RingCache, action: Tensor, known: Tensor, sampler: SamplerConfig
    ):
        level = torch.full((len(action),), sampler.level, device=action.device)
        self.model, self.action = model, model.embed_action(action, known)
        everywhere = (self.action + model.condition(sampler.order().window, level))[:, None]
        self.common = everywhere + model.look_back(cache.frame, known)  # [B, queries, D]

    def opening(self) -> Tensor:
        """The action's own query, [B, 1, D]."""
        return (self.action + self.model.place[0])[:, None] + self.common[:, :1]

    def tokens(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """Ids [B, n] of the tokens [n] → [B, n, D]."""
        return self.model.embed_tokens(ids, tokens) + self.common[:, 1 + tokens]

    def starts(self, queries: Tensor) -> Tensor:
        """The start queries [n] → [B, n, D]."""
        return self.model.place[queries] + self.common[:, queries]


class RingPasses:
    """See `worlds.decode.FramePasses`."""

    fused = False

    def __init__(self, model: WorldModel, cache: RingCache, action: Tensor, sampler: SamplerConfig):
        self.model, self.cache, self.sampler = model, cache, model.resolved(sampler)
        self.schedule, known = model.schedule(self.sampler), torch.ones_like(action[:, 0], dtype=torch.bool)
        self.inputs = FrameInputs(model, cache, action, known, self.sampler)
        self.turns = FrameTurns(model, self.schedule, cache)

    def logits(self, step: StepIndex, tokens: Tensor) -> Tensor:
        """See `worlds.decode.FramePasses`."""
        count = len(step.fed)
        if count or len(step.rows):
            turn = self.turns.at(step.queries, step.written)
            starts = self.inputs.starts(step.queries[count:])
            x = torch.cat([self.inputs.tokens(tokens[:, step.fed], step.fed), starts], 1)
        else:
            turn, x = self.turns.opening(), torch.cat([self.cache.pending, self.inputs.opening()], 1)
        hidden = run_queries(self.model, x.to(self.cache.dtype), turn, self.cache)
        logits: Tensor = self.model.head(hidden[:, step.reading])
        return logits

    def close(self, tokens: Tensor, moves: Tensor | None) -> None:
        """See `worlds.decode.FramePasses`."""
        end = torch.tensor([self.schedule.tokens - 1], device=tokens.device)
        self.cache.close(tokens, self.inputs.tokens(tokens[:, end], end), moves)


@torch.inference_mode()
def write_frame(
    model: WorldModel, cache: RingCache, tokens: Tensor, action: Tensor, known: Tensor, sampler: SamplerConfig
) -> None:
    """Put a frame that exists into the cache, in one pass.

    Args:
        tokens: int64 [B, N].
        action: what led to it, int64 [B, G].
        known: whether there was one, and a frame before it, bool [B].
    """
    sampler = model.resolved(sampler)
    schedule = model.schedule(sampler)
    slots = torch.arange(schedule.slots, device=tokens.device)
    inputs = FrameInputs(model, cache, action, known, sampler)
    x = torch.cat([inputs.opening(), inputs.tokens(tokens, slots[:-1])], 1)
    run_queries(model, x.to(cache.dtype), FrameTurns(model, schedule, cache).at(slots, len(slots)), cache)
    cache.close(tokens, x[:, -1:])


class RingBackend:
    """PyTorch on any device; see `worlds.players.Backend`."""

    name = "torch"

    def __init__(self, model: WorldModel, players: int):
        self.model, self.cache = model, RingCache.for_model(model, players)

    def begin(self, player: int) -> None:
        self.cache.rows(slice(player, player + 1)).forget()

    def prepare(self, player: int, context: Context, sampler: SamplerConfig) -> None:
        row = self.cache.rows(slice(player, player + 1))
        for frame, action in context.unread():
            known = torch.tensor([action is not None], device=frame.device)
            given = torch.zeros_like(context.nothing) if action is None else action
            write_frame(self.model, row, frame[None], given[None], known, sampler)
        context.trim(self.model.config.context)

    def step(
        self, action: Tensor, uniform: np.ndarray, sampler: SamplerConfig, moves: Tensor | None
    ) -> Tensor:
        draws = torch.from_numpy(uniform).to(action.device, torch.float32)
        return decode_frame(self.model, self.cache, action, draws, sampler, moves)
