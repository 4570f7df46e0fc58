"""MineWorld's frame as the release decodes it: the baseline of `playloop bench world`."""

from __future__ import annotations

import torch
from torch import Tensor

from playloop.benchmarks.plain import PlainLlama, draw_sorted
from playloop.nn.slots import published
from playloop.worlds.mineworld.model import PREFIX, MineWorld
from playloop.worlds.sampler import SamplerConfig


class PlainMineWorld:
    """One session over a model's own weights: frames one after another, in the release's schedule.

    The release's demo has a window of 4, its command line of 2 unless another is given.
    """

    def __init__(self, model: MineWorld, window: int = 4, temperature: float = 1.0, top_p: float = 0.8):
        config = model.config
        weights = published(model, model.slots())
        self.llama = PlainLlama(weights, config.sizes, f"{PREFIX}model.")
        self.table, self.head = weights[f"{PREFIX}model.embed_tokens.weight"], model.head.weight
        self.schedule = config.schedule(SamplerConfig(window=window, rules="demo"))
        self.temperature, self.top_p, self.codes = temperature, top_p, config.codes
        self.length = config.positions
        self.cache = self.llama.cache(1, self.length, self.table)
        self.mask = torch.ones(self.length, self.length, dtype=torch.bool, device=self.table.device).tril()
        self.base, self.last = 0, 0

    @torch.inference_mode()
    def begin(self, tokens: Tensor, actions: Tensor) -> None:
        """Take in frames int64 [T, N] and the actions between them int64 [T - 1, A]."""
        units = torch.cat([tokens[:-1], actions], 1).flatten()
        sequence = torch.cat([units, tokens[-1]])
        for keys, values in self.cache:
            keys.zero_()
            values.zero_()
        self._feed(sequence.tolist(), list(range(len(sequence))))
        self.base, self.last = len(sequence), int(sequence[-1])

    @torch.inference_mode()
    def step(self, action: Tensor, generator: torch.Generator) -> Tensor:
        """The next frame, int64 [N], after an action int64 [A]; a row begins with the token above."""
        schedule, found = self.schedule, {}
        count, columns = schedule.actions, schedule.columns
        positions = list(range(self.base - 1, self.base + count))
        logits = self._feed([self.last, *action.tolist()], positions)
        found[0] = self._draw(logits[-1], generator)
        for step in schedule.steps[1:]:
            ids = [found[token] for token in step.fed]
            slots = [count + token for token in step.fed]
            ids += [found[(row - 1) * columns + schedule.window - 1] for row in step.starts]
            slots += [count + row * columns - 1 for row in step.starts]
            logits = self._feed(ids, [self.base + slot for slot in slots])
            reading = [*step.predicting, *range(len(step.fed), len(slots))]
            for row, target in zip(reading, step.targets, strict=True):
                found[target] = self._draw(logits[row], generator)
        tokens = torch.tensor([found[token] for token in range(schedule.tokens)])
        self.base, self.last = self.base + schedule.slots, int(tokens[-1])
        return tokens

    def _feed(self, ids: list[int], at: list[int]) -> Tensor:
        """One pass → logits of all ids, float32 [n, V]."""
        device = self.table.device
        positions = torch.tensor(at, device=device)
        x = self.table[torch.tensor(ids, device=device)][None]
        hidden = self.llama.forward(x, positions, self.mask[positions], self.cache)
        return torch.nn.functional.linear(hidden[0], self.head).float()

    def _draw(self, logits: Tensor, generator: torch.Generator) -> int:
        return draw_sorted(logits[: self.codes], self.temperature, self.top_p, generator)
