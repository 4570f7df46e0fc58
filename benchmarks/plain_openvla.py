"""Discrete Diffusion VLA's chunk as the release decodes it: the baseline of `playloop bench openvla`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.benchmarks.plain import PlainLlama
from playloop.nn.sampling import gumbel
from playloop.nn.slots import llama_slots, published
from playloop.policies.openvla.model import OpenVLA


class PlainDecoder:
    """Discrete Diffusion VLA as released: all of the sequence in every round, all ids, and a waiting host."""

    def __init__(self, model: OpenVLA):
        slots = llama_slots(model.config.llama, "", "llama.")
        self.model = model
        self.llama = PlainLlama(published(model, slots), model.config.llama, "")

    def __call__(self, pictures: Tensor, state: Tensor | None, prompts: Tensor, rounds: int) -> Tensor:
        """One decision → ids [B, L]."""
        model, config = self.model, self.model.config
        prefix = model.encode(pictures, state, prompts)
        start, length = prefix.shape[1], config.tokens
        tokens = torch.full((len(prefix), length), config.mask, device=prefix.device)
        sampled = tokens
        for step in range(rounds):
            x = torch.cat([prefix, model.block(tokens).to(prefix.dtype)], 1)
            hidden = self.llama.forward(x, torch.arange(x.shape[1], device=x.device), None)
            logits = F.linear(hidden, model.head.weight.to(hidden.dtype)).float()
            odds = logits[:, start - 1 : start - 1 + length, : config.words].softmax(-1)
            drawn = torch.multinomial(odds.flatten(0, 1), 1).view_as(tokens)
            unknown = tokens == config.mask
            sampled = torch.where(unknown, drawn, tokens)
            ratio = (step + 1) / rounds
            keep = max(
                1, min(int(unknown.sum(1).max().item()) - 1, int(length * math.cos(math.pi / 2 * ratio)))
            )
            score = odds.gather(-1, sampled[..., None]).squeeze(-1).log()
            score = score + (1 - ratio) * gumbel(torch.rand_like(score))
            score = score.masked_fill(~unknown, float("inf"))
            cut = score.sort(1).values[:, keep, None]
            tokens = torch.where(score < cut, config.mask, sampled)
        return sampled
