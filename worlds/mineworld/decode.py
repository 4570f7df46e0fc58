"""A frame of MineWorld in `FrameSchedule.forwards` passes over a static cache.

Every pass has the same shapes in every frame, and where each row of the batch stands is a number on the
device: no pass waits for the host, so that a frame can be captured as one CUDA graph and replayed, whatever
the rows are busy with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from playloop.nn.decoder import Rotary, StaticCache, put
from playloop.worlds.decode import sample
from playloop.worlds.mineworld.model import MineWorld, placeholder_places
from playloop.worlds.mineworld.sampler import CLEAN, MineWorldSampler
from playloop.worlds.mineworld.schedule import FrameSchedule, clip_schedule


@dataclass
class DecodeState:
    """What sessions keep, one a row: tensors of one size that are written in place.

    Args:
        cache: keys and values of the whole context.
        rotary: of its positions.
        base: place of the next unit's first token, int64 [B]; the last frame's last token is just before it.
            0 where a row holds no frame.
        frame: tokens of the last frame, int64 [B, N].
        first: of the first frame that the context began with, likewise.
    """

    cache: StaticCache
    rotary: Rotary
    base: Tensor
    frame: Tensor
    first: Tensor

    @classmethod
    def empty(cls, model: MineWorld, batch: int = 1, dtype: torch.dtype | None = None) -> DecodeState:
        """Room for the model's context, on its device."""
        config, device = model.config, model.head.weight.device
        dtype = dtype or model.dtype
        frames = [torch.zeros(batch, config.tokens, dtype=torch.int64, device=device) for _ in range(2)]
        return cls(
            StaticCache.empty(config.sizes, batch, config.positions, dtype, device),
            Rotary(config.sizes, config.positions, dtype, device),
            torch.zeros(batch, dtype=torch.int64, device=device),
            *frames,
        )

    def rows(self, chosen: slice) -> DecodeState:
        """Some rows, as views: what is done to them is done here."""
        parts = (part[chosen] for part in (self.base, self.frame, self.first))
        return DecodeState(self.cache.rows(chosen), self.rotary, *parts)

    @property
    def length(self) -> int:
        """Places of the cache."""
        return self.cache.keys[0].shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return self.cache.keys[0].dtype


@dataclass(frozen=True)
class StepTables:
    """One pass; everything but `written` is an index tensor on the device.

    Args:
        fed: tokens of the frame that are fed, [m].
        rows: that start queries open, [r]; they stand behind the fed ones.
        ends: the frame's tokens that they stand at, [r].
        opened: the token that let each begin, [r].
        slots: of all queries in their unit, [m + r]; -1 is the last token of the frame before.
        masks: rows of the unit's bias, [m + r].
        reading: queries that predict.
        targets: the frame's tokens that they predict, as many.
        written: of the queries, the first, whose keys and values stay.
    """

    fed: Tensor
    rows: Tensor
    ends: Tensor
    opened: Tensor
    slots: Tensor
    masks: Tensor
    reading: Tensor
    targets: Tensor
    written: int


@dataclass(frozen=True)
class FrameTables:
    """A schedule as tensors on one device, made once.

    Args:
        steps: the passes.
        own: bias of every query against its own unit, [queries + 1, slots]; the last row is that of the last
            token of the frame before, which sees none of it.
        slots: 0, 1, … of the unit.
        places: 0, 1, … of the cache.
    """

    steps: tuple[StepTables, ...]
    own: Tensor
    slots: Tensor
    places: Tensor

    @classmethod
    def of(cls, schedule: FrameSchedule, state: DecodeState) -> FrameTables:
        """The tables for a state's device, type and length."""
        device = state.base.device
        visible = torch.cat([schedule.visible, torch.zeros(1, schedule.slots, dtype=torch.bool)])
        own = torch.zeros(visible.shape, dtype=state.dtype).masked_fill_(~visible, float("-inf")).to(device)
        steps = tuple(_tables(schedule, number, device) for number in range(schedule.forwards))
        slots = torch.arange(schedule.slots, device=device)
        return cls(steps, own, slots, torch.arange(state.length, device=device))

    def bias(self, base: Tensor) -> Tensor:
        """Of every query against the whole cache, [B, queries + 1, places]; each row's unit begins at its
        `base` [B]."""
        past = torch.zeros(len(base), len(self.places), dtype=self.own.dtype, device=base.device)
        past.masked_fill_(self.places >= base[:, None], float("-inf"))
        whole = past[:, None].repeat(1, len(self.own), 1)
        put(whole, _shared(base[:, None] + self.slots), self.own.expand(len(base), -1, -1))
        return whole


def _tables(schedule: FrameSchedule, number: int, device: torch.device) -> StepTables:
    step, queries = schedule.steps[number], len(schedule.places)

    def index(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    fed, rows = index(step.fed), index(step.starts)
    ends, opened = placeholder_places(schedule, rows)
    if number:
        masks = torch.cat([schedule.actions + fed, schedule.slots + rows - 1])
        slots, written = schedule.places.to(device)[masks], len(masks) if schedule.compat else len(fed)
        reading = index([*step.predicting, *range(len(fed), len(masks))])
    else:
        actions = torch.arange(schedule.actions, device=device)
        slots, masks = (torch.cat([index([first]), actions]) for first in (-1, queries))
        reading, written = index([schedule.actions]), len(slots)
    return StepTables(fed, rows, ends, opened, slots, masks, reading, index(step.targets), written)


@torch.inference_mode()
def prefill(
    model: MineWorld, state: DecodeState, tokens: Tensor, actions: Tensor, schedule: FrameSchedule
) -> None:
    """Begin anew with frames that exist, in one pass; `state.rows` begins with some rows alone.

    What was in the cache is zero afterwards: under compat rules places are seen before they are written.

    Args:
        tokens: int64 [B, T, N], T less than the context.
        actions: between them, int64 [B, T - 1, A].
        schedule: whose masks the frames see each other through, as decoded ones do.
    """
    clip = clip_schedule(schedule, tokens.shape[1])
    if clip.length + schedule.slots > state.length:
        raise ValueError(f"{clip.frames} frames leave no room for another one in {state.length} places")
    for buffer in (*state.cache.keys, *state.cache.values):
        buffer.zero_()
    x = model.token(model.sequence(tokens, actions)).to(state.dtype)
    model.encode(x, clip, state.cache, state.rotary)
    state.base.fill_(clip.length)
    state.frame.copy_(tokens[:, -1])
    state.first.copy_(tokens[:, 0])


@torch.inference_mode()
def decode_frame(
    model: MineWorld,
    state: DecodeState,
    action: Tensor,
    uniform: Tensor,
    tables: FrameTables,
    sampler: MineWorldSampler,
    moves: Tensor | None = None,
) -> Tensor:
    """The next frame's tokens, int64 [B, N]; `state` moves on by one unit.

    Args:
        model: the weights.
        state: every row that moves holds at least one frame and room for this one: the caller counts, this
            function cannot.
        action: int64 [B, A], taken at the last frame.
        uniform: one number in [0, 1) for every token, float32 [B, N]: all the randomness there is.
        tables: of the sampler's schedule.
        sampler: how tokens are drawn, and which placeholders are fed.
        moves: rows that take this step, bool [B]; None for all. The others are computed, too, for nothing:
            they stay where they are, and their tokens mean nothing. They may hold no frame, or have no room;
            one without room must be read in again before it moves.
    """
    base = state.base
    if moves is not None:
        base = base.clamp(1, state.length - len(tables.slots))
    tokens, bias = torch.zeros_like(state.frame), tables.bias(base)
    if sampler.rules != CLEAN:
        _clear(state, _shared(base[:, None] + tables.slots))
    for number, step in enumerate(tables.steps):
        x = _inputs(model, state, step, tokens, action if number == 0 else None, sampler)
        positions = base[:, None] + step.slots  # [B, n]
        hidden = model.llama(
            x.to(state.dtype),
            state.rotary.at(positions),
            bias.index_select(1, step.masks)[:, None],
            state.cache,
            _shared(positions[:, : step.written]),
        )
        logits = model.visual(hidden[:, step.reading])
        drawn = sample(logits, uniform[:, step.targets], sampler, model.llama.kernels == "triton")
        tokens.index_copy_(1, step.targets, drawn)
    if moves is None:
        state.frame.copy_(tokens)
        state.base += len(tables.slots)
    else:
        state.frame.copy_(torch.where(moves[:, None], tokens, state.frame))
        state.base += moves * len(tables.slots)
    return tokens


def _shared(places: Tensor) -> Tensor:
    """Places [B, n] as `put` copies them fastest: one row's are those of all rows, [n]."""
    return places[0] if len(places) == 1 else places


def _clear(state: DecodeState, places: Tensor) -> None:
    """Make the unit's places zeros: compat rules see them before they are written, and a row that stood still
    or a run before a capture may have left something there."""
    for buffer in (*state.cache.keys, *state.cache.values):
        batch, groups, _, size = buffer.shape
        put(buffer, places, buffer.new_zeros(1).expand(batch, groups, places.shape[-1], size))


def _inputs(
    model: MineWorld,
    state: DecodeState,
    step: StepTables,
    tokens: Tensor,
    action: Tensor | None,
    sampler: MineWorldSampler,
) -> Tensor:
    """One pass's queries as vectors, [B, n, D]; `action` in the first pass alone."""
    if action is not None:
        return model.token(torch.cat([state.frame[:, -1:], action], 1))
    fed = model.token(tokens[:, step.fed])
    if not len(step.rows):
        return fed
    before = {"before": state.frame, "first": state.first}.get(sampler.source)
    ids = tokens[:, step.opened] if before is None else before[:, step.ends]
    starts = model.ask(step.rows, ids) if sampler.rules == CLEAN else model.token(ids)
    return torch.cat([fed, starts], 1)
