"""A frame's tokens, several a pass: the steps of `Schedule` over a ring cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from playloop.nn.llama import attend_grouped
from playloop.nn.sampling import inverse_cdf, nucleus
from playloop.worlds.cache import RingCache
from playloop.worlds.model import WorldModel
from playloop.worlds.schedule import Schedule


@dataclass(frozen=True)
class SamplerConfig:
    """How a token is drawn.

    Args:
        temperature: divides the logits; 0 takes the likeliest.
        top_p: share of the mass that the likeliest tokens must hold to be drawn from.
        window: of the schedule; one that the model was trained with.
        level: which of the model's corruption levels its context is said to have.
    """

    temperature: float = 1.0
    top_p: float = 0.8
    window: int = 1
    level: int = 1


def sample(logits: Tensor, uniform: Tensor, config: SamplerConfig) -> Tensor:
    """Ids [B, n] from logits [B, n, V] with one uniform number [B, n] each."""
    if config.temperature <= 0:
        return logits.argmax(-1)
    probabilities = (logits.float() / config.temperature).softmax(-1)
    return inverse_cdf(nucleus(probabilities, config.top_p), uniform)


@dataclass
class Turn:
    """Where the queries of one pass stand.

    Args:
        places: in the cache, of the queries that are written, int64 [written].
        cosines: [n, 1, E / 2].
        sines: likewise.
        bias: [B, 1, n, places of the cache].
    """

    places: Tensor
    cosines: Tensor
    sines: Tensor
    bias: Tensor


def run_queries(model: WorldModel, x: Tensor, turn: Turn, cache: RingCache) -> Tensor:
    """One pass: x [B, n, D] through all layers; the first queries leave keys and values in the cache."""
    written = len(turn.places)
    for layer, block in enumerate(model.layers()):
        queries, keys, values = block.attention.split(block.norm_attention(x), turn.cosines, turn.sines)
        keys, values = cache.write(layer, turn.places, keys[:, :, :written], values[:, :, :written])
        x = block.finish(x, attend_grouped(queries, keys, values, turn.bias))
    return model.norm(x)


class FrameTurns:
    """Positions and masks of one frame, made once a frame and cut by pass."""

    def __init__(self, model: WorldModel, schedule: Schedule, cache: RingCache):
        self.cache, self.dtype, device = cache, model.dtype, cache.valid.device
        times = torch.tensor([cache.clock - 1, cache.clock], device=device)
        cosines, sines = model.positions.of_frames(times, self.dtype)
        self.rotary = cosines.unflatten(0, (2, -1)), sines.unflatten(0, (2, -1))  # [2, queries, 1, E / 2]
        seen = cache.past(0)[:, None].repeat(1, schedule.queries, 1)  # [B, queries, places]
        base = cache.base()
        seen[:, :, base : base + cache.slots] = schedule.visible.to(device)
        self.bias = self._bias(seen)[:, None]

    def _bias(self, seen: Tensor) -> Tensor:
        zeros = torch.zeros(seen.shape, dtype=self.dtype, device=seen.device)
        return zeros.masked_fill_(~seen, float("-inf"))

    def of(self, queries: Tensor, written: int) -> Turn:
        """The turn of these queries [n] of the new frame, of which the first `written` are written."""
        cosines, sines = (table[1, queries] for table in self.rotary)
        return Turn(queries[:written] + self.cache.base(), cosines, sines, self.bias[:, :, queries])

    def opening(self) -> Turn:
        """The first pass: the last token of the frame before, then this frame's action."""
        cache, last = self.cache, self.cache.slots - 1
        seen = cache.past(1)
        before = cache.base(1)
        seen[:, before : before + cache.slots] = cache.valid[:, (cache.clock - 1) % cache.blocks, None]
        pending = self._bias(seen)[:, None, None]
        places = torch.tensor([before + last, cache.base()], device=seen.device)
        cosines, sines = (torch.stack([table[0, last], table[1, 0]]) for table in self.rotary)
        return Turn(places, cosines, sines, torch.cat([pending, self.bias[:, :, :1]], 2))


@torch.inference_mode()
def write_frame(
    model: WorldModel, cache: RingCache, tokens: Tensor, action: Tensor, known: Tensor, config: SamplerConfig
) -> None:
    """Put a frame that exists into the cache, in one pass.

    Args:
        tokens: int64 [B, N].
        action: what led to it, int64 [B, G].
        known: whether there was one, bool [B].
    """
    schedule = model.schedules[config.window]
    slots = torch.arange(schedule.slots, device=tokens.device)
    frame = model.embed_tokens(tokens, slots[:-1])
    x = torch.cat([model.embed_action(action, known)[:, None], frame], 1)
    cache.open()
    turn = FrameTurns(model, schedule, cache).of(slots, schedule.slots)
    run_queries(model, (x + _condition(model, config, len(tokens))[:, None]).to(model.dtype), turn, cache)
    cache.close()


@torch.inference_mode()
def decode_frame(
    model: WorldModel,
    cache: RingCache,
    last: Tensor,
    action: Tensor,
    uniform: Tensor,
    config: SamplerConfig,
) -> Tensor:
    """The next frame's tokens, int64 [B, N], in `Schedule.forwards` passes.

    Args:
        cache: holds the frames so far, and takes this one.
        last: the last token of the frame before, int64 [B]; its place in the cache is written now.
        action: int64 [B, G], taken at the frame before.
        uniform: one number in [0, 1) for every token, [B, N]: all the randomness there is.
        config: how tokens are drawn.
    """
    schedule = model.schedules[config.window]
    condition = _condition(model, config, len(last))[:, None]
    tokens = torch.zeros(uniform.shape, dtype=torch.int64, device=uniform.device)
    cache.open()
    turns = FrameTurns(model, schedule, cache)
    for number, step in enumerate(_steps(schedule, uniform.device)):
        if number == 0:
            turn = turns.opening()
            x = _opening(model, last, action)
        else:
            turn = turns.of(step.queries, len(step.fed))
            x = torch.cat([model.embed_tokens(tokens[:, step.fed], step.fed), _starts(model, step, last)], 1)
        hidden = run_queries(model, (x + condition).to(model.dtype), turn, cache)[:, step.reading]
        tokens[:, step.targets] = sample(model.head(hidden), uniform[:, step.targets], config)
    cache.close()
    return tokens


def _condition(model: WorldModel, config: SamplerConfig, batch: int) -> Tensor:
    level = torch.full((batch,), config.level, device=model.head.weight.device)
    return model.condition(config.window, level)


def _opening(model: WorldModel, last: Tensor, action: Tensor) -> Tensor:
    n = model.config.rows * model.config.columns
    token = model.embed_tokens(last[:, None], torch.tensor([n - 1], device=last.device))
    known = torch.ones_like(last, dtype=torch.bool)
    return torch.cat([token, model.embed_action(action, known)[:, None]], 1)


def _starts(model: WorldModel, step: _Step, like: Tensor) -> Tensor:
    return model.place[step.queries[len(step.fed) :]].expand(len(like), -1, -1)


@dataclass(frozen=True)
class _Step:
    """A `Step` as index tensors."""

    fed: Tensor
    queries: Tensor
    reading: Tensor
    targets: Tensor


_TABLES: dict[tuple[Schedule, torch.device], tuple[_Step, ...]] = {}


def _steps(schedule: Schedule, device: torch.device) -> tuple[_Step, ...]:
    """The schedule's steps on a device, made once."""
    key = schedule, device
    if key not in _TABLES:
        _TABLES[key] = tuple(_index(schedule, number, device) for number in range(schedule.forwards))
    return _TABLES[key]


def _index(schedule: Schedule, number: int, device: torch.device) -> _Step:
    step = schedule.steps[number]
    starts = [schedule.slots + row - 1 for row in step.starts]
    queries = [token + 1 for token in step.fed] + starts
    reading = [*step.predicting, *range(len(step.fed), len(queries))] if number else [1]

    def index(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    return _Step(index(step.fed), index(queries), index(reading), index(step.targets))
