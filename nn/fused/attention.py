"""Attention of a few queries to many keys: the keys are split among all processors of a GPU.

A decoding step has a handful of queries and thousands of keys. One program for each head would leave most of
a GPU idle; here each takes a range of the keys for a whole group of query heads, which share what it reads,
and a second kernel joins the ranges (flash decoding's idea, arXiv 2311.01282).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

KEYS = 64
"""Keys of one step of the loop."""
MOST_ROWS = 64
"""Rows of a program; more rows read the keys again."""
PROGRAMS = 264
"""How many programs are wanted: two for each processor of an H100 or H200."""


@triton.jit
def _ranges(
    queries, keys, values, bias, found, most, total,
    rows, count, slots, steps, bias_batch, groups, scale,
    ROWS: tl.constexpr, SIZE: tl.constexpr, STEP: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """One range of keys for rows of one group: their own maximum, total and mixed values."""
    pair, part, parts = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    row, column, key = tl.program_id(2) * ROWS + tl.arange(0, ROWS), tl.arange(0, SIZE), tl.arange(0, STEP)
    there = row < rows
    q = tl.load(queries + (pair * rows + row)[:, None] * SIZE + column[None], mask=there[:, None], other=0.0)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    mass = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, SIZE], tl.float32)
    bias_row = (pair // groups) * bias_batch + (row % count) * slots
    for step in range(steps):
        slot = (part * steps + step) * STEP + key
        inside = slot < slots
        address = (pair * slots + slot)[:, None] * SIZE + column[None]
        k = tl.load(keys + address, mask=inside[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale  # [ROWS, STEP]
        if BIASED:
            seen = inside[None] & there[:, None]
            scores += tl.load(bias + bias_row[:, None] + slot[None], mask=seen, other=0.0).to(tl.float32)
        scores = tl.where(inside[None], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        base = tl.where(higher == float("-inf"), 0.0, higher)  # nothing seen yet: keep the zeros
        shares = tl.exp(scores - base[:, None])
        fade = tl.exp(top - base)
        v = tl.load(values + address, mask=inside[:, None], other=0.0)
        mixed = mixed * fade[:, None] + tl.dot(shares.to(v.dtype), v, input_precision="ieee")
        mass = mass * fade + tl.sum(shares, 1)
        top = higher
    entry = (pair * parts + part) * rows + row
    tl.store(most + entry, top, mask=there)
    tl.store(total + entry, mass, mask=there)
    tl.store(found + entry[:, None] * SIZE + column[None], mixed, mask=there[:, None])


@triton.jit
def _join(
    found, most, total, out, rows, count, parts, groups,
    PARTS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """One row's ranges weighed by their totals, and put where the token's heads lie side by side."""
    pair, row = tl.program_id(0), tl.program_id(1)
    part, column = tl.arange(0, PARTS), tl.arange(0, SIZE)
    there = part < parts
    entry = (pair * parts + part) * rows + row
    top = tl.load(most + entry, mask=there, other=float("-inf"))
    weight = tl.where(there, tl.exp(top - tl.max(top, 0)), 0.0)
    mass = tl.sum(weight * tl.load(total + entry, mask=there, other=0.0), 0)
    mixed = tl.load(found + entry[:, None] * SIZE + column[None], mask=there[:, None], other=0.0)
    result = tl.sum(mixed * weight[:, None], 0) / mass
    share = rows // count  # heads of a group
    token = (pair // groups) * count + row % count
    head = (pair % groups) * share + row // count
    tl.store(out + (token * groups * share + head) * SIZE + column, result.to(out.dtype.element_ty))


def attend_packed(
    queries: Tensor, keys: Tensor, values: Tensor, count: int, bias: Tensor | None = None
) -> Tensor:
    """Softmax attention in which groups of query heads share a head of keys and values.

    Every query must see at least one key.

    Args:
        queries: [B * K, H / K * n, E], the heads of a group below each other; E a power of two, at least 16.
        keys: [B, K, S, E], contiguous.
        values: likewise.
        count: n, the tokens that attend.
        bias: added to the scores, [n, S] or [B, 1, n, S], contiguous; None hides nothing.

    Returns:
        [B, n, H * E].
    """
    pairs, rows, size = queries.shape
    batch, groups, slots = keys.shape[:3]
    tile = min(MOST_ROWS, max(16, triton.next_power_of_2(rows)))
    tiles = triton.cdiv(rows, tile)
    steps_in_all = triton.cdiv(slots, KEYS)
    parts = max(1, min(steps_in_all, PROGRAMS // (pairs * tiles)))
    steps = triton.cdiv(steps_in_all, parts)
    parts = triton.cdiv(steps_in_all, steps)
    shape = pairs, parts, rows
    found = torch.empty(*shape, size, dtype=torch.float32, device=queries.device)
    most, total = (torch.empty(shape, dtype=torch.float32, device=queries.device) for _ in range(2))
    out = queries.new_empty(batch, count, groups * (rows // count) * size)
    shared = bias is None or bias.ndim == 2 or bias.shape[0] == 1
    _ranges[(pairs, parts, tiles)](
        queries, keys, values, queries if bias is None else bias, found, most, total,
        rows, count, slots, steps, 0 if shared else count * slots, groups, size**-0.5,
        ROWS=tile, SIZE=size, STEP=KEYS, BIASED=bias is not None, num_warps=4 if tile < 64 else 8,
    )  # fmt: skip
    _join[(pairs, rows)](
        found, most, total, out, rows, count, parts, groups,
        PARTS=triton.next_power_of_2(parts), SIZE=size,
    )  # fmt: skip
    return out


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
    """Projected heads [B, n, (H + 2K) * E] → queries as `attend_packed` takes them.

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
