"""Decoding over the keys and values of the last frames in a ring: sessions without an end."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from playloop.nn.decoder import StaticCache, keeper, put
from playloop.worlds.decode import decode_frame, shared
from playloop.worlds.model import WorldModel
from playloop.worlds.players import Context
from playloop.worlds.sampler import SamplerConfig
from playloop.worlds.schedule import StepIndex


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
        frame: tokens of the latest frame, int64 [B, N].
        pending: its last token as input, [B, 1, D]; its slot is written with the next frame.
    """

    valid: Tensor
    clock: Tensor
    slots: int
    frame: Tensor
    pending: Tensor

    @classmethod
    def for_model(
        cls, model: WorldModel, batch: int, dtype: torch.dtype | None = None, buffers: bool = True
    ) -> RingCache:
        """A cache without frames, on the model's device, computing in `dtype` or the model's own type.

        Without `buffers` it is the bookkeeping alone: somebody else keeps keys and values.
        """
        config, weight, device = model.config, model.head.weight, model.head.weight.device
        slots, blocks = 1 + config.rows * config.columns, config.context + 1
        return cls.empty(
            config.sizes if buffers else replace(config.sizes, layers=0),
            batch,
            blocks * slots,
            dtype or weight.dtype,
            device,
            valid=torch.zeros(batch, blocks, dtype=torch.bool, device=device),
            clock=torch.zeros(batch, dtype=torch.int64, device=device),
            slots=slots,
            frame=torch.zeros(batch, slots - 1, dtype=torch.int64, device=device),
            pending=torch.zeros(batch, 1, config.width, dtype=weight.dtype, device=device),
        )

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
        """The frame int64 [B, N] is written, but for its last token as input, [B, 1, D]. In the rows that go
        on, bool [B], the next one takes the oldest block, which nobody sees from now on; None for all."""
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


class RingPasses:
    """Inputs, positions and masks of one frame, made once a frame; see `worlds.decode.FramePasses`.

    Args:
        model: the weights.
        cache: that takes the frame.
        action: what leads to it, int64 [B, G].
        sampler: how it is drawn.
        known: whether there is an action, and a frame before it, bool [B]; None where there always is.
    """

    fused = False

    def __init__(
        self,
        model: WorldModel,
        cache: RingCache,
        action: Tensor,
        sampler: SamplerConfig,
        known: Tensor | None = None,
    ):
        self.model, self.cache, self.sampler = model, cache, model.resolved(sampler)
        self.schedule = model.schedule(self.sampler)
        self.inputs = FrameInputs(model, cache, action, self.sampler, known)
        times = torch.stack([cache.clock - 1, cache.clock], 1)  # [B, 2]
        tables = model.positions.of_frames(times.flatten(), cache.dtype)
        # [B, 2, queries, 1, E / 2]
        self.rotary = [table.unflatten(0, (*times.shape, -1)) for table in tables]
        self.own = cache.block()
        seen = cache.past(0)[:, None].repeat(1, self.schedule.queries, 1)  # [B, queries, slots]
        put(seen, shared(self.own), self.schedule.visible.to(seen.device).expand(len(seen), -1, -1))
        self.bias = self._bias(seen)  # [B, 1, queries, slots]

    def logits(self, step: StepIndex, tokens: Tensor) -> Tensor:
        if step.opens:
            hidden = self._open()
        else:
            starts = self.inputs.starts(step.queries[len(step.fed) :])
            x = torch.cat([self.inputs.tokens(tokens[:, step.fed], step.fed), starts], 1)
            hidden = self.feed(x, step.queries, step.written)
        return self.model.head(hidden[:, step.reading])

    def close(self, tokens: Tensor, moves: Tensor | None) -> None:
        end = torch.tensor([self.schedule.tokens - 1], device=tokens.device)
        self.cache.close(tokens, self.inputs.tokens(tokens[:, end], end), moves)

    def feed(self, x: Tensor, queries: Tensor, written: int) -> Tensor:
        """A pass of queries [n] of the frame as vectors [B, n, D], of which the first `written` stay."""
        cosines, sines = (table[:, 1, queries] for table in self.rotary)
        return self._run(x, self.own[:, queries[:written]], (cosines, sines), self.bias[:, :, queries])

    def _run(self, x: Tensor, slots: Tensor, rotary: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        """One pass: x [B, n, D] → [B, n, D]; the first queries leave keys and values in `slots` [B, written].

        Cosines and sines are [B, n, 1, E / 2], the bias is [B, 1, n, slots of the cache].
        """
        x, slots = x.to(self.cache.dtype), shared(slots)
        for layer, block in enumerate(self.model.layers()):
            x = block(x, rotary, bias, keeper(layer, self.cache, slots))
        return self.model.norm(x)

    def _open(self) -> Tensor:
        """The first pass: the last token of the frame before, then this frame's action."""
        cache, last = self.cache, self.cache.slots - 1
        seen, before = cache.past(1)[:, None], cache.block(1)  # [B, 1, slots]
        put(seen, shared(before), cache.holds(1)[:, None].expand(-1, -1, cache.slots))
        bias = torch.cat([self._bias(seen), self.bias[:, :, :1]], 2)
        slots = torch.stack([before[:, last], self.own[:, 0]], 1)
        cosines, sines = (torch.stack([table[:, 0, last], table[:, 1, 0]], 1) for table in self.rotary)
        return self._run(torch.cat([cache.pending, self.inputs.opening()], 1), slots, (cosines, sines), bias)

    def _bias(self, seen: Tensor) -> Tensor:
        zeros = torch.zeros(seen.shape, dtype=self.cache.dtype, device=seen.device)
        return zeros.masked_fill_(~seen, float("-inf"))[:, None]


class FrameInputs:
    """What enters every query of one frame besides its own token, and the queries' embeddings made of it."""

    def __init__(
        self,
        model: WorldModel,
        cache: RingCache,
        action: Tensor,
        sampler: SamplerConfig,
        known: Tensor | None = None,
    ):
        known = torch.ones_like(action[:, 0], dtype=torch.bool) if known is None else known
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

    def whole(self, tokens: Tensor) -> Tensor:
        """A frame that exists, int64 [B, N], behind its action → [B, 1 + N, D]."""
        return torch.cat([self.opening(), self.tokens(tokens, torch.arange(tokens.shape[1]).to(tokens))], 1)


@torch.inference_mode()
def write_frame(
    model: WorldModel, cache: RingCache, tokens: Tensor, action: Tensor, known: Tensor, sampler: SamplerConfig
) -> None:
    """Put a frame that exists, int64 [B, N], into the cache in one pass, after the action int64 [B, G] that
    led to it; `known`, bool [B], says whether there was one, and a frame before it."""
    passes = RingPasses(model, cache, action, sampler, known)
    x = passes.inputs.whole(tokens)
    passes.feed(x, torch.arange(cache.slots, device=tokens.device), cache.slots)
    cache.close(tokens, x[:, -1:])


@torch.no_grad()
def imagine(
    model: WorldModel,
    tokens: Tensor,
    actions: Tensor,
    known: int,
    sampler: SamplerConfig,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Tensor:
    """A copy of clips in which all frames after the first `known` are the model's own, drawn as in play.

    Args:
        model: whose weights stay as they are.
        tokens: int64 [B, T, N].
        actions: int64 [B, T - 1, G].
        known: recorded frames at the start, at least 1.
        sampler: how tokens are drawn.
        generator: of the draws, on the device.
        dtype: to compute in.
    """
    seen, cache = tokens.clone(), RingCache.for_model(model, len(tokens), dtype)
    with torch.inference_mode():
        for number, frame in enumerate(tokens.unbind(1)):
            action = actions[:, number - 1] if number else torch.zeros_like(actions[:, 0])
            if number < known:
                has_action = torch.full((len(frame),), number > 0, device=frame.device)
                write_frame(model, cache, frame, action, has_action, sampler)
            else:
                uniform = torch.rand(frame.shape, generator=generator, device=frame.device)
                seen[:, number] = decode_frame(model, cache, action, uniform, sampler)
    return seen


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
