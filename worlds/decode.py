"""A frame's tokens, several a pass: the steps of `Schedule` over a ring cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from playloop.core.kinds import kind
from playloop.nn.checks import check_types
from playloop.nn.llama import attend_grouped
from playloop.nn.sampling import COLDEST, inverse_cdf, likeliest, nucleus
from playloop.worlds.cache import RingCache
from playloop.worlds.model import WorldConfig, WorldModel
from playloop.worlds.schedule import Schedule


@kind("world-sampler")
@dataclass(frozen=True)
class SamplerConfig:
    """How a token is drawn.

    Args:
        temperature: divides the logits; 0 takes the likeliest.
        top_p: share of the mass that the likeliest tokens must hold to be drawn from.
        window: of the schedule; one that the model was trained with.
        level: which of the model's corruption levels its context is said to have.
        top_k: how many of the likeliest tokens are drawn from, and those that are as likely as the last of
            them; None for no such limit. Only beside a `top_p` of 1.
    """

    temperature: float = 1.0
    top_p: float = 0.7
    window: int = 1
    level: int = 0
    top_k: int | None = None

    def check_draws(self) -> None:
        """Refuse what no model can do.

        Raises:
            ValueError: a value is of another type or out of range, or two exclude each other.
        """
        check_types(self)
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(
                f"temperature={self.temperature} must be 0 or more, top_p={self.top_p} above 0 and at most 1"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k={self.top_k} must be 1 or more, or null for no limit")
        if self.top_k is not None and self.top_p < 1:
            raise ValueError(
                f"top_k={self.top_k} and top_p={self.top_p} exclude each other, as in MineWorld's release: "
                "set top_p=1 to draw from the top_k likeliest"
            )

    def check(self, sizes: WorldConfig) -> None:
        """Refuse what a model with these sizes cannot do.

        Raises:
            ValueError: a setting is out of range; says which.
        """
        self.check_draws()
        if self.window not in sizes.windows:
            raise ValueError(f"window={self.window} was not trained; this model has {list(sizes.windows)}")
        if not 0 <= self.level < len(sizes.corruption):
            raise ValueError(f"level={self.level} must be 0 or more and lie below {len(sizes.corruption)}")


def sample(logits: Tensor, uniform: Tensor, config: SamplerConfig, fused: bool = False) -> Tensor:
    """Ids [B, n] from logits [B, n, V] with one uniform number [B, n] each; fused: by one kernel of a GPU."""
    if config.temperature <= 0:
        return logits.argmax(-1)
    if fused:
        from playloop.nn.fused.draw import draw_tokens

        return draw_tokens(logits, uniform, config.temperature, config.top_p, config.top_k)
    if logits.device.type == "cpu":
        return _sample_compiled(logits, uniform, config)
    return inverse_cdf(kept(logits, config), uniform)


def kept(logits: Tensor, config: SamplerConfig) -> Tensor:
    """Probabilities of what may be drawn, not normalised, and zeros: logits [..., V] → float32 [..., V]."""
    below = logits.float() - logits.float().amax(-1, keepdim=True)  # first: a small temperature overflows
    probabilities = (below / max(config.temperature, COLDEST)).softmax(-1)
    if config.top_k is not None:
        return likeliest(probabilities, config.top_k)
    return nucleus(probabilities, config.top_p)


def _sample_compiled(logits: Tensor, uniform: Tensor, config: SamplerConfig) -> Tensor:
    """The same rule in one compiled pass a row: what PyTorch needs a hundred small operations for."""
    from playloop.nn.kernels import draw_rows

    rows = logits.detach().to(torch.float32, copy=True).flatten(0, -2).contiguous()
    ids = torch.empty(len(rows), dtype=torch.int64)
    numbers = uniform.to(torch.float64).flatten().contiguous()
    drawn = config.temperature, config.top_p, config.top_k or 0
    draw_rows(rows.numpy(), numbers.numpy(), *drawn, ids.numpy())
    return ids.view(uniform.shape)


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
        self.cache, self.dtype, device = cache, cache.dtype, cache.valid.device
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


class FrameInputs:
    """What enters every query of one frame besides its own token, and the queries' embeddings made of it."""

    def __init__(
        self, model: WorldModel, cache: RingCache, action: Tensor, known: Tensor, config: SamplerConfig
    ):
        level = torch.full((len(action),), config.level, device=action.device)
        self.model, self.action = model, model.embed_action(action, known)
        everywhere = (self.action + model.condition(config.window, level))[:, None]
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


@torch.inference_mode()
def write_frame(
    model: WorldModel, cache: RingCache, tokens: Tensor, action: Tensor, known: Tensor, config: SamplerConfig
) -> None:
    """Put a frame that exists into the cache, in one pass.

    Args:
        tokens: int64 [B, N].
        action: what led to it, int64 [B, G].
        known: whether there was one, and a frame before it, bool [B].
    """
    schedule = model.schedules[config.window]
    slots = torch.arange(schedule.slots, device=tokens.device)
    inputs = FrameInputs(model, cache, action, known, config)
    x = torch.cat([inputs.opening(), inputs.tokens(tokens, slots[:-1])], 1)
    cache.open()
    turn = FrameTurns(model, schedule, cache).of(slots, schedule.slots)
    run_queries(model, x.to(cache.dtype), turn, cache)
    cache.close(tokens, x[:, -1:])


@torch.inference_mode()
def decode_frame(
    model: WorldModel, cache: RingCache, action: Tensor, uniform: Tensor, config: SamplerConfig
) -> Tensor:
    """The next frame's tokens, int64 [B, N], in `Schedule.forwards` passes.

    Args:
        cache: holds the frames so far, at least one in every row, and takes this one.
        action: int64 [B, G], taken at the frame before.
        uniform: one number in [0, 1) for every token, [B, N]: all the randomness there is.
        config: how tokens are drawn.
    """
    schedule = model.schedules[config.window]
    tokens = torch.zeros(uniform.shape, dtype=torch.int64, device=uniform.device)
    inputs = FrameInputs(model, cache, action, torch.ones_like(action[:, 0], dtype=torch.bool), config)
    cache.open()
    turns = FrameTurns(model, schedule, cache)
    for number, step in enumerate(_steps(schedule, uniform.device)):
        if number == 0:
            turn, x = turns.opening(), torch.cat([cache.pending, inputs.opening()], 1)
        else:
            turn = turns.of(step.queries, len(step.fed))
            starts = inputs.starts(step.queries[len(step.fed) :])
            x = torch.cat([inputs.tokens(tokens[:, step.fed], step.fed), starts], 1)
        hidden = run_queries(model, x.to(cache.dtype), turn, cache)[:, step.reading]
        tokens[:, step.targets] = sample(model.head(hidden), uniform[:, step.targets], config)
    end = torch.tensor([schedule.tokens - 1], device=tokens.device)
    cache.close(tokens, inputs.tokens(tokens[:, end], end))
    return tokens


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
