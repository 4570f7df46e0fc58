"""Pure sampling steps: every one takes its randomness as a tensor, and none waits for the host."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise from uniform numbers in [0, 1)."""
    tiny = torch.finfo(uniform.dtype).tiny
    return -(-(uniform.clamp_min(tiny).log())).clamp_min(tiny).log()


def restrict(logits: Tensor, legal: Tensor | None) -> Tensor:
    """Logits [..., L, V] with minus infinity where `legal` [L, V] is False."""
    return logits if legal is None else logits.masked_fill(~legal, float("-inf"))


def lowest_argmax(x: Tensor) -> Tensor:
    """Index of the maximum of the last dimension; of equal ones the lowest."""
    # torch.argmax promises no order among ties.
    indices = torch.arange(x.shape[-1], device=x.device)
    return torch.where(x == x.amax(dim=-1, keepdim=True), indices, x.shape[-1] - 1).amin(-1)


COLDEST = 1e-30
"""Logits are divided by no smaller temperature: float32 ends soon below it."""

BLOCK = 256
"""Ids of a large vocabulary that are summed before one of them is looked for."""


def inverse_cdf(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One draw of each distribution [..., V] with one uniform number [...] each.

    In float64, so that the float32 `uniform` < 1 never reaches the total; no id of probability zero is drawn.
    Large vocabularies are walked in two steps, to a block and within it: sums of blocks are a small table.
    """
    if probabilities.shape[-1] % BLOCK or probabilities.shape[-1] < 8 * BLOCK:
        masses = probabilities.double()
        return _walk(masses, uniform.double() * masses.sum(-1))[0]
    blocks = probabilities.unflatten(-1, (-1, BLOCK))
    masses = blocks.sum(-1, dtype=torch.float64)
    block, left = _walk(masses, uniform.double() * masses.sum(-1))
    chosen = blocks.gather(-2, block[..., None, None].expand(*block.shape, 1, BLOCK)).squeeze(-2)
    return block * BLOCK + _walk(chosen.double(), left)[0]


def _walk(masses: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The first index of masses [..., n] at which their running sum exceeds the target [...].

    Returns:
        The index, at most the last one that has any mass, and what of the target is left there.
    """
    sums = masses.cumsum(-1)
    indices = torch.arange(masses.shape[-1], device=masses.device)
    last = torch.where(masses > 0, indices, 0).amax(-1)
    index = torch.minimum((sums <= target[..., None]).sum(-1), last)
    before = (sums - masses).gather(-1, index[..., None]).squeeze(-1)
    return index, target - before


def rank_descending(scores: Tensor) -> Tensor:
    """Rank of each score in its row [..., L], 0 for the highest; of equals the lower index comes first."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.arange(scores.shape[-1], device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, ranks)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Probabilities [..., V] with zeros outside the smallest set of the likeliest that holds `top_p`.

    The set is {p >= threshold}, so equal ones are all in it or all outside. It is exact: sums are float64's,
    and the share is of what the probabilities add up to. What is left is not normalised. All other ways to
    draw (`nn.kernels.draw` on a CPU, `nn.fused.draw` on a GPU) have this rule.
    """
    if top_p >= 1.0:
        return probabilities
    ordered = probabilities.sort(-1, descending=True).values
    held = ordered.cumsum(-1, dtype=torch.float64)
    last = (held < top_p * held[..., -1:]).sum(-1, keepdim=True)  # of the ordered ones that are needed
    return probabilities * (probabilities >= ordered.gather(-1, last))


def likeliest(probabilities: Tensor, top_k: int) -> Tensor:
    """Probabilities [..., V] with zeros where `top_k` others are greater; ids as likely as the last stay."""
    if top_k >= probabilities.shape[-1]:
        return probabilities
    return probabilities * (probabilities >= probabilities.topk(top_k, -1).values[..., -1:])
