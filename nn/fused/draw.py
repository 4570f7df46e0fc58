"""One token of each row in one launch: temperature, nucleus and inverse CDF."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from playloop.nn.sampling import COLDEST


@triton.jit
def _draw(
    logits, uniform, ids, count, temperature, wanted: tl.float64,
    CODES: tl.constexpr, KEPT: tl.constexpr,
):  # fmt: skip
    """One row: `nn.sampling.nucleus` (KEPT is "mass") or `likeliest` ("count") of its softmax, and
    `inverse_cdf`."""
    row, code = tl.program_id(0), tl.arange(0, CODES)
    x = tl.load(logits + row * count + code, mask=code < count, other=float("-inf")).to(tl.float32)
    shares = tl.exp((x - tl.max(x, 0)) / temperature)
    shares = shares / tl.sum(shares, 0)
    masses = shares.to(tl.float64)
    if KEPT != "all":  # floats that are not negative lie in the order of their bits, which are bisected
        bits = shares.to(tl.int32, bitcast=True)
        measure = masses if KEPT == "mass" else (code < count).to(tl.float64)
        enough = wanted * tl.sum(masses, 0) if KEPT == "mass" else wanted
        low, high = tl.max(bits, 0) * 0, tl.max(bits, 0) + 1
        for _ in range(30):  # 2^30 lies above the bits of one
            middle = low + (high - low) // 2
            holds = tl.sum(tl.where(bits >= middle, measure, 0.0), 0) >= enough
            low, high = tl.where(holds, middle, low), tl.where(holds, high, middle)
        masses = tl.where(bits >= low, masses, 0.0)
    target = tl.load(uniform + row).to(tl.float64) * tl.sum(masses, 0)
    beyond = (masses > 0.0) & (tl.cumsum(masses, 0) > target)  # a token of no mass is never drawn
    first = tl.min(tl.where(beyond, code, CODES), 0)
    last = tl.max(tl.where(masses > 0.0, code, 0), 0)
    tl.store(ids + row, tl.minimum(first, last).to(tl.int64))


def draw_tokens(
    logits: Tensor, uniform: Tensor, temperature: float, top_p: float, top_k: int | None = None
) -> Tensor:
    """Ids int64 [...] from logits [..., V] with one uniform number [...] each; at most 16,384 ids.

    Args:
        logits: of any floating type.
        uniform: float32, in [0, 1).
        temperature: above 0.
        top_p: share of the mass that the likeliest tokens must hold to be drawn from; 1 draws from all.
        top_k: how many of the likeliest are drawn from, where `top_p` is 1.
    """
    count = logits.shape[-1]
    rows = logits.reshape(-1, count).contiguous()
    ids = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
    kept, wanted = ("mass", top_p) if top_p < 1 else ("all", 1.0) if top_k is None else ("count", top_k)
    _draw[(len(rows),)](
        rows, uniform.reshape(-1).contiguous(), ids, count, max(temperature, COLDEST), float(wanted),
        CODES=triton.next_power_of_2(count), KEPT=kept, num_warps=16,
    )  # fmt: skip
    return ids.view(uniform.shape)
