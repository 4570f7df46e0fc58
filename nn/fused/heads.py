"""From a projection's rows to attention in one launch: positions applied, keys and values in the cache."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _store(
    projected, cosines, sines, slots, queries, keys, values,
    count, written, length, rotary_batch, slots_batch,
    HEADS: tl.constexpr, GROUPS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """One head of one token."""
    row, head = tl.program_id(0), tl.program_id(1)
    batch, token = row // count, row % count
    half = tl.arange(0, HALF)
    source = projected + (row * (HEADS + 2 * GROUPS) + head) * (2 * HALF) + half
    a, b = tl.load(source).to(tl.float32), tl.load(source + HALF).to(tl.float32)
    kept = token < written
    if head < HEADS + GROUPS:
        turn = batch * rotary_batch + token * HALF + half
        cosine, sine = tl.load(cosines + turn).to(tl.float32), tl.load(sines + turn).to(tl.float32)
        first, second = a * cosine - b * sine, b * cosine + a * sine
        if head < HEADS:
            share = HEADS // GROUPS
            entry = (batch * GROUPS + head // share) * share * count + (head % share) * count + token
            target = queries + entry * (2 * HALF) + half
            tl.store(target, first.to(queries.dtype.element_ty))
            tl.store(target + HALF, second.to(queries.dtype.element_ty))
        else:
            at = tl.load(slots + batch * slots_batch + token, mask=kept, other=0)
            target = keys + ((batch * GROUPS + head - HEADS) * length + at) * (2 * HALF) + half
            tl.store(target, first.to(keys.dtype.element_ty), mask=kept)
            tl.store(target + HALF, second.to(keys.dtype.element_ty), mask=kept)
    else:
        at = tl.load(slots + batch * slots_batch + token, mask=kept, other=0)
        target = values + ((batch * GROUPS + head - HEADS - GROUPS) * length + at) * (2 * HALF) + half
        tl.store(target, a.to(values.dtype.element_ty), mask=kept)
        tl.store(target + HALF, b.to(values.dtype.element_ty), mask=kept)


def store_heads(
    projected: Tensor,
    rotary: tuple[Tensor, Tensor],
    keys: Tensor,
    values: Tensor,
    slots: Tensor,
    heads: int,
) -> Tensor:
    """Projected heads [B, n, (H + 2K) * E] → queries as `attention.attend_packed` takes them.

    Args:
        projected: queries, keys and values of each token, contiguous.
        rotary: cosines and sines [n, 1, E / 2] or [B, n, 1, E / 2], contiguous.
        keys: the cache's, [B, K, S, E], written into the slots.
        values: likewise.
        slots: of the first tokens, int64 [written] or [B, written], contiguous; the others are not kept.
        heads: H.

    Returns:
        [B * K, H / K * n, E], the heads of a group below each other.
    """
    batch, count, _ = projected.shape
    groups, length, size = keys.shape[1:]
    queries = projected.new_empty(batch * groups, heads // groups * count, size)
    cosines, sines = rotary
    _store[(batch * count, heads + 2 * groups)](
        projected, cosines, sines, slots, queries, keys, values,
        count, slots.shape[-1], length,
        count * size // 2 if cosines.ndim == 4 else 0, slots.shape[-1] if slots.ndim == 2 else 0,
        HEADS=heads, GROUPS=groups, HALF=size // 2, num_warps=1,
    )  # fmt: skip
    return queries
