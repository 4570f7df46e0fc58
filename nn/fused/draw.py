"""One token of each row in one launch: temperature, nucleus and inverse CDF."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _draw(
    logits, uniform, ids, count, temperature, top_p,
    CODES: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    """One row: `nn.sampling.nucleus` and `inverse_cdf` of its softmax."""
    row, code = tl.program_id(0), tl.arange(0, CODES)
    x = tl.load(logits + row * count + code, mask=code < count, other=float("-inf")).to(tl.float32)
    shares = tl.exp((x - tl.max(x, 0)) / temperature)
    shares = shares / tl.sum(shares, 0)
    if ROUNDS > 0:  # the threshold of the least set that holds top_p, bisected
        high = tl.max(shares, 0)
        low = high * 0.0
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            holds = tl.sum(tl.where(shares >= middle, shares, 0.0), 0) >= top_p
            low, high = tl.where(holds, middle, low), tl.where(holds, high, middle)
        shares = tl.where(shares >= tl.where(low > 0.0, low, high), shares, 0.0)
    masses = shares.to(tl.float64)
    target = tl.load(uniform + row).to(tl.float64) * tl.sum(masses, 0)
    beyond = (shares > 0.0) & (tl.cumsum(masses, 0) > target)  # a token of no mass is never drawn
    first = tl.min(tl.where(beyond, code, CODES), 0)
    last = tl.max(tl.where(shares > 0.0, code, 0), 0)
    tl.store(ids + row, tl.minimum(first, last).to(tl.int64))


def draw_tokens(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Tensor:
    """Ids int64 [...] from logits [..., V] with one uniform number [...] each; at most 16,384 ids.

    Args:
        logits: of any floating type.
        uniform: float32, in [0, 1).
        temperature: above 0.
        top_p: share of the mass that the likeliest tokens must hold to be drawn from; 1 draws from all.
    """
    count = logits.shape[-1]
    rows = logits.reshape(-1, count).contiguous()
    ids = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
    _draw[(len(rows),)](
        rows, uniform.reshape(-1).contiguous(), ids, count, temperature, top_p,
        CODES=triton.next_power_of_2(count), ROUNDS=24 if top_p < 1 else 0, num_warps=16,
    )  # fmt: skip
    return ids.view(uniform.shape)
