"""Decoding for one session on one CPU core: the same steps as `worlds.decode`, with kernels of our own.

What PyTorch needs a hundred small operations a pass for is one compiled function a frame here, over int8
weights and a float32 cache. The masks, the schedule and the rule of sampling are those of `worlds.decode`;
the tests compare the two on the same rounded weights.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from playloop.nn.kernels import TILE, quantize_rows
from playloop.nn.llama import LlamaBlock
from playloop.worlds.model import WorldModel
from playloop.worlds.passes import Frame, Pass, Plan, Scratch, Weights, decode, run
from playloop.worlds.players import Context
from playloop.worlds.ring import FrameInputs, RingCache
from playloop.worlds.sampler import SamplerConfig, share
from playloop.worlds.schedule import Schedule, step_indices


class Engine:
    """A world model made ready for one core; sessions share it and bring their own `EngineCache`.

    Args:
        model: on the CPU; float32 embeddings are kept, the products' weights are rounded to int8.
    """

    def __init__(self, model: WorldModel):
        self.model = model.float().eval()
        self.weights = pack(self.model)
        self.plans = {window: plan_of(schedule) for window, schedule in model.schedules.items()}

    def start(self) -> EngineCache:
        """An empty cache."""
        return EngineCache(self.model)

    @torch.inference_mode()
    def write_frame(
        self, cache: EngineCache, tokens: Tensor, action: Tensor | None, config: SamplerConfig
    ) -> None:
        """Put a frame that exists into the cache.

        Args:
            tokens: int64 [N].
            action: what led to it, int64 [G]; None if the session begins with it.
        """
        model, config = self.model, self.model.resolved(config)
        schedule = model.schedule(config)
        known = torch.tensor([action is not None])
        given = (
            torch.zeros(1, len(model.config.actions), dtype=torch.int64) if action is None else action[None]
        )
        inputs = FrameInputs(model, cache.ring, given, config, known)
        x = inputs.whole(tokens[None])[0].float().numpy()
        frame = cache.frame(schedule, x[:2], inputs, np.zeros(schedule.tokens))
        rows, scratch = schedule.slots, cache.scratch(schedule.slots)
        scratch.x[:rows] = x
        queries = np.arange(schedule.slots)
        slots, angles = queries + frame.base, queries + schedule.queries
        fed = Pass(rows, rows, slots, angles, queries)
        run(self.weights, fed, frame, *cache.buffers, scratch, model.config.heads)
        cache.ring.close(tokens[None], torch.from_numpy(x[None, -1:]))

    @torch.inference_mode()
    def decode_frame(
        self, cache: EngineCache, action: Tensor, uniform: np.ndarray, config: SamplerConfig
    ) -> Tensor:
        """The next frame's tokens, int64 [N]; see `worlds.decode.decode_frame`.

        Args:
            cache: holds at least one frame.
            action: int64 [G].
            uniform: float64 [N].
            config: how tokens are drawn.
        """
        model, config = self.model, self.model.resolved(config)
        schedule = model.schedule(config)
        inputs = FrameInputs(model, cache.ring, action[None], config)
        opening = torch.cat([cache.ring.pending[0], inputs.opening()[0]]).float().numpy()
        frame = cache.frame(schedule, opening, inputs, uniform)
        tokens = np.zeros(schedule.tokens, np.int64)
        decode(
            self.weights,
            self.plans[schedule.window],
            frame,
            *cache.buffers,
            cache.scratch(schedule.rows + TILE),
            model.config.heads,
            model.config.codes,
            config.temperature,
            share(config),
            config.top_k or 0,
            tokens,
        )
        found, end = torch.from_numpy(tokens), torch.tensor([schedule.tokens - 1])
        cache.ring.close(found[None], inputs.tokens(found[None, end], end))
        return found


class EngineCache:
    """A session's keys and values as the kernels want them, and the ring's bookkeeping.

    Args:
        model: whose sizes it has.
    """

    def __init__(self, model: WorldModel):
        config = model.config
        self.model, self.ring = model, RingCache.for_model(model, 1, buffers=False)
        size = config.width // config.heads
        self.slots = up(self.ring.blocks * self.ring.slots)
        shape = config.layers, config.groups
        keys = np.zeros((*shape, size, self.slots), np.float32)
        self.buffers = keys, np.zeros((*shape, self.slots, size), np.float32)
        self._scratch: dict[int, Scratch] = {}

    def frame(
        self, schedule: Schedule, opening: np.ndarray, inputs: FrameInputs, uniform: np.ndarray
    ) -> Frame:
        """What the passes of the frame that is being written read; `opening` is float32 [2, D]."""
        ring = self.ring
        times = torch.cat([ring.clock - 1, ring.clock])
        cosines, sines = (t[:, 0].numpy() for t in self.model.positions.of_frames(times, torch.float32))
        seen = np.zeros((schedule.queries + 1, self.slots), np.float32)
        count, base, before = ring.blocks * ring.slots, int(ring.block()[0, 0]), int(ring.block(1)[0, 0])
        seen[:-1, :count] = ring.past(0)[0].numpy()
        seen[:-1, base : base + ring.slots] = schedule.visible.numpy()
        seen[-1, :count] = ring.past(1)[0].numpy()
        seen[-1, before : before + ring.slots] = float(ring.holds(1))
        common, pending = inputs.common[0].float().numpy(), before + ring.slots - 1
        return Frame(opening, common, cosines, sines, seen, pending, base, uniform.astype(np.float64))

    def scratch(self, rows: int) -> Scratch:
        """Working memory for passes of so many rows; made once."""
        rows = up(rows)
        if rows not in self._scratch:
            config = self.model.config
            wide = max(self.slots, 2 * config.hidden, up(config.codes))
            columns = {
                "x": config.width,
                "normed": config.width,
                "mixed": config.width,
                "heads": config.width + 2 * config.groups * config.width // config.heads,
                "wide": 2 * config.hidden,
                "hidden": config.hidden,
                "logits": up(config.codes),
            }
            arrays = {name: np.zeros((rows, size), np.float32) for name, size in columns.items()}
            size = config.width // config.heads
            tiles = {"wanted": size, "found": size, "seen": self.slots, "scores": self.slots}
            arrays |= {name: np.zeros((TILE, size), np.float32) for name, size in tiles.items()}
            self._scratch[rows] = Scratch(**arrays, bits=np.zeros(wide, np.int32))
        return self._scratch[rows]


class KernelBackend:
    """Compiled kernels on one CPU core, one player after the other; see `worlds.players.Backend`."""

    name = "kernels"

    def __init__(self, model: WorldModel, players: int):
        self.engine = Engine(model)
        self.caches = [self.engine.start() for _ in range(players)]

    def begin(self, player: int) -> None:
        self.caches[player] = self.engine.start()

    def prepare(self, player: int, context: Context, sampler: SamplerConfig) -> None:
        for frame, action in context.unread():
            self.engine.write_frame(self.caches[player], frame, action, sampler)
        context.trim(self.engine.model.config.context)

    def step(
        self, action: Tensor, uniform: np.ndarray, sampler: SamplerConfig, moves: Tensor | None
    ) -> Tensor:
        tokens = torch.zeros(uniform.shape, dtype=torch.int64)
        for player, cache in enumerate(self.caches):
            if moves is None or moves[player]:
                tokens[player] = self.engine.decode_frame(cache, action[player], uniform[player], sampler)
        return tokens


def up(count: int) -> int:
    """The next multiple of the kernels' tile."""
    return math.ceil(count / TILE) * TILE


def pack(model: WorldModel) -> Weights:
    """Weights as the kernels want them. A norm's weight scales the inputs of the product behind it."""

    def stack(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        pairs = [quantize_rows(part) for part in parts]
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    def after(norm: torch.nn.RMSNorm, linear: torch.nn.Linear) -> np.ndarray:
        return (linear.weight * norm.weight).detach().numpy()

    def alone(linear: torch.nn.Linear) -> np.ndarray:
        return linear.weight.detach().numpy()

    blocks: list[LlamaBlock] = model.layers()
    head, head_scale = quantize_rows(after(model.norm, model.head))
    return Weights(
        *stack([after(block.norm_attention, block.attention.project) for block in blocks]),
        *stack([alone(block.attention.out) for block in blocks]),
        *stack([after(block.norm_mlp, block.mlp.inner) for block in blocks]),
        *stack([alone(block.mlp.outer) for block in blocks]),
        head,
        head_scale,
        model.token.weight.detach().numpy(),
        model.place.detach().numpy(),
    )


def plan_of(schedule: Schedule) -> Plan:
    """A schedule's passes as arrays; the first has the pending token and the action."""
    shape = schedule.forwards, schedule.rows + 1
    count, fed = (np.zeros(schedule.forwards, np.int64) for _ in range(2))
    query, target = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
    for number, step in enumerate(step_indices(schedule, torch.device("cpu"))):
        first = 0 if number else 1  # behind the pending token
        count[number], fed[number] = first + len(step.queries), step.written
        query[number, first : count[number]] = step.queries
        target[number, step.reading] = step.targets
    return Plan(count, fed, query, target)
