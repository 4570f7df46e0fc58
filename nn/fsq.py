"""Finite scalar quantisation: a few numbers, each rounded to a few levels, name a code (arXiv 2309.15505)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FSQ(nn.Module):
    """Vectors of `len(levels)` numbers ↔ ids below the product of the levels; no codebook is learned.

    Args:
        levels: of each number, at least 2.
    """

    levels: Tensor
    base: Tensor

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        if min(levels, default=0) < 2:
            raise ValueError(f"levels={levels}: give at least one number, each with 2 levels or more")
        self.size, self.codes = len(levels), math.prod(levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        bases = torch.tensor([math.prod(levels[:index]) for index in range(len(levels))])
        self.register_buffer("base", bases, persistent=False)

    def bound(self, z: Tensor) -> Tensor:
        """Any numbers [..., S] → numbers whose rounding is one of the levels, 0 … levels - 1."""
        top = (self.levels - 1).to(z.dtype)
        return (torch.tanh(z) + 1) / 2 * top

    def quantize(self, z: Tensor) -> Tensor:
        """Numbers [..., S] → levels as float; the gradient passes as if nothing had been rounded."""
        bounded = self.bound(z.float())
        return bounded + (bounded.round() - bounded).detach()

    def center(self, digits: Tensor) -> Tensor:
        """Levels [..., S] → what a decoder reads, in [-1, 1]."""
        return 2 * digits / (self.levels - 1) - 1

    def ids(self, digits: Tensor) -> Tensor:
        """Levels [..., S] → ids int64 [...]."""
        return (digits.round().long() * self.base).sum(-1)

    def digits(self, ids: Tensor) -> Tensor:
        """The inverse of `ids`: int64 [..., S]."""
        return ids[..., None] // self.base % self.levels

    def neighbours(self, digits: Tensor, generator: torch.Generator) -> Tensor:
        """Levels [..., S] with one number each moved by one level: the codes nearest to them."""
        shape, device = digits.shape[:-1], digits.device
        index = torch.randint(self.size, shape, generator=generator, device=device)
        up = torch.randint(2, shape, generator=generator, device=device) * 2 - 1
        moved = torch.zeros_like(digits).scatter_(-1, index[..., None], up[..., None].to(digits.dtype))
        # At an end there is one neighbour only.
        stepped = digits + moved
        inside = (stepped >= 0) & (stepped <= self.levels - 1)
        return torch.where(inside, stepped, digits - moved)
