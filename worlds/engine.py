"""Decoding for one player on one CPU core: the same steps as `worlds.decode`, with kernels of our own.

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
from playloop.worlds.passes import Frame, Plan, Scratch, Weights, decode, run
from playloop.worlds.players import Context
from playloop.worlds.ring import FrameInputs, RingCache
from playloop.worlds.sampler import SamplerConfig, share
from playloop.worlds.schedule import Schedule, step_indices


class KernelBackend:
    """Compiled kernels on one CPU core, one player after the other; see `worlds.players.Backend`.

    Args:
        model: on the CPU; float32 embeddings are kept, the products' weights are rounded to int8.
        players: each with a cache of its own.
    """

    name = "kernels"

    def __init__(self, model: WorldModel, players: int):
        self.model = model.float().eval()
        self.weights = pack(self.model)
        self.plans = {window: plan_of(schedule) for window, schedule in model.schedules.items()}
        self.caches = [EngineCache(model) for _ in range(players)]

    def begin(self, player: int) -> None:
        self.caches[player] = EngineCache(self.model)

    def prepare(self, player: int, context: Context, sampler: SamplerConfig) -> None:
        for frame, action in context.unread():
            self.write_frame(player, frame, action, sampler)
        context.trim(self.model.config.context)

    def step(
        self, action: Tensor, uniform: np.ndarray, sampler: SamplerConfig, moves: Tensor | None
    ) -> Tensor:
        tokens = torch.zeros(uniform.shape, dtype=torch.int64)
        for player in range(len(self.caches)):
            if moves is None or moves[player]:
                tokens[player] = self.decode_frame(player, action[player], uniform[player], sampler)
        return tokens

    @torch.inference_mode()
    def write_frame(self, player: int, tokens: Tensor, action: Tensor | None, config: SamplerConfig) -> None:
        """Put a frame that exists, int64 [N], into a player's cache, and the action [G] that led to it."""
        model, cache, config = self.model, self.caches[player], self.model.resolved(config)
        known = torch.tensor([action is not None])
        given = torch.zeros(1, model.action_size, dtype=torch.int64) if action is None else action[None]
        schedule, inputs = model.schedule(config), FrameInputs(model, cache.ring, given, config, known)
        x = inputs.whole(tokens[None])[0].float().numpy()
        frame = cache.frame(schedule, x[:2], inputs, np.zeros(schedule.tokens))
        rows, scratch = schedule.slots, cache.scratch(schedule.slots)
        scratch.x[:rows] = x
        queries = np.arange(rows)
        run(self.weights, rows, rows, queries, frame, *cache.buffers, scratch, model.config.heads)
        cache.ring.close(tokens[None], torch.from_numpy(x[None, -1:]))

    @torch.inference_mode()
    def decode_frame(self, player: int, action: Tensor, uniform: np.ndarray, config: SamplerConfig) -> Tensor:
        """A player's next frame, int64 [N], after the action [G]; see `worlds.decode.decode_frame`."""
        model, cache, config = self.model, self.caches[player], self.model.resolved(config)
        schedule, inputs = model.schedule(config), FrameInputs(model, cache.ring, action[None], config)
        opening = torch.cat([cache.ring.pending[0], inputs.opening()[0]]).float().numpy()
        tokens = np.zeros(schedule.tokens, np.int64)
        decode(
            self.weights,
            self.plans[schedule.window],
            cache.frame(schedule, opening, inputs, uniform),
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
    """A player's keys and values as the kernels want them, and the ring's bookkeeping."""

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
        ring, last = self.ring, schedule.slots - 1
        tables = self.model.positions.of_frames(torch.cat([ring.clock - 1, ring.clock]), torch.float32)
        own = [*range(schedule.queries, 2 * schedule.queries), last]  # its queries, and the pending token
        cosines, sines = (table[own, 0].numpy() for table in tables)
        base, before = int(ring.block()[0, 0]), int(ring.block(1)[0, 0])
        seen, count = np.zeros((len(own), self.slots), np.float32), ring.blocks * ring.slots
        seen[:-1, :count] = ring.past(0)[0].numpy()
        seen[:-1, base : base + ring.slots] = schedule.visible.numpy()
        seen[-1, :count] = ring.past(1)[0].numpy()
        seen[-1, before : before + ring.slots] = float(ring.holds(1))
        slots = np.append(base + np.arange(schedule.queries), before + last)
        common = inputs.common[0].float().numpy()
        return Frame(opening, common, cosines, sines, seen, slots, uniform.astype(np.float64))

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
        query[number, 0] = schedule.queries
        count[number], fed[number] = first + len(step.queries), step.written
        query[number, first : count[number]] = step.queries
        target[number, step.reading] = step.targets
    return Plan(count, fed, query, target)
