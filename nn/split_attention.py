"""Attention of a few queries to many keys on a GPU: the keys are split among all its processors (Triton).

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
PROGRAMS = 264
"""How many programs are wanted: two for each processor of an H100 or H200."""


@triton.jit
def _ranges(
    queries, keys, values, bias, found, most, total,
    rows, asked, places, steps, bias_batch, groups, scale,
    ROWS: tl.constexpr, SIZE: tl.constexpr, STEP: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """One range of keys for one group: its own maximum, total and mixed values."""
    pair, part, parts = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    row, column, key = tl.arange(0, ROWS), tl.arange(0, SIZE), tl.arange(0, STEP)
    there = row < rows
    q = tl.load(queries + (pair * rows + row)[:, None] * SIZE + column[None], mask=there[:, None], other=0.0)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    mass = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, SIZE], tl.float32)
    bias_row = (pair // groups) * bias_batch + (row % asked) * places
    for step in range(steps):
        place = (part * steps + step) * STEP + key
        inside = place < places
        address = (pair * places + place)[:, None] * SIZE + column[None]
        k = tl.load(keys + address, mask=inside[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale  # [ROWS, STEP]
        if BIASED:
            seen = inside[None] & there[:, None]
            scores += tl.load(bias + bias_row[:, None] + place[None], mask=seen, other=0.0).to(tl.float32)
        scores = tl.where(inside[None], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        base = tl.where(higher == float("-inf"), 0.0, higher)  # nothing seen yet: keep the zeros
        shares = tl.exp(scores - base[:, None])
        fade = tl.exp(top - base)
        v = tl.load(values + address, mask=inside[:, None], other=0.0)
        mixed = mixed * fade[:, None] + tl.dot(shares.to(v.dtype), v, input_precision="ieee")
        mass = mass * fade + tl.sum(shares, 1)
        top = higher
    place = (pair * parts + part) * rows + row
    tl.store(most + place, top, mask=there)
    tl.store(total + place, mass, mask=there)
    tl.store(found + place[:, None] * SIZE + column[None], mixed, mask=there[:, None])


@triton.jit
def _join(
    found, most, total, out, rows, parts,
    PARTS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """One row's ranges weighed by their totals."""
    pair, row = tl.program_id(0), tl.program_id(1)
    part, column = tl.arange(0, PARTS), tl.arange(0, SIZE)
    there = part < parts
    place = (pair * parts + part) * rows + row
    top = tl.load(most + place, mask=there, other=float("-inf"))
    highest = tl.max(top, 0)
    weight = tl.where(there, tl.exp(top - highest), 0.0)
    mass = tl.sum(weight * tl.load(total + place, mask=there, other=0.0), 0)
    mixed = tl.load(found + place[:, None] * SIZE + column[None], mask=there[:, None], other=0.0)
    result = tl.sum(mixed * weight[:, None], 0) / mass
    tl.store(out + (pair * rows + row) * SIZE + column, result)


def attend_split(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """`nn.llama.attend_grouped` for few queries; every query must see at least one key.

    Args:
        queries: [B, H, Q, E]; E a power of two of at least 16, H / K * Q rows at most 128.
        keys: [B, K, S, E], contiguous.
        values: [B, K, S, E], contiguous.
        bias: [Q, S] or [B, 1, Q, S]; None hides nothing.

    Returns:
        [B, H, Q, E].
    """
    b, h, q, e = queries.shape
    groups, places = keys.shape[1], keys.shape[2]
    rows = h // groups * q
    packed = queries.reshape(b * groups, rows, e).contiguous()
    steps_in_all = triton.cdiv(places, KEYS)
    parts = max(1, min(steps_in_all, PROGRAMS // (b * groups)))
    steps = triton.cdiv(steps_in_all, parts)
    parts = triton.cdiv(steps_in_all, steps)
    shape = b * groups, parts, rows
    found = torch.empty(*shape, e, dtype=torch.float32, device=queries.device)
    most, total = (torch.empty(shape, dtype=torch.float32, device=queries.device) for _ in range(2))
    out = torch.empty_like(packed)
    shared = bias is None or bias.ndim == 2 or bias.shape[0] == 1
    _ranges[(b * groups, parts)](
        packed, keys, values, packed if bias is None else bias.contiguous(), found, most, total,
        rows, q, places, steps, 0 if shared else q * places, groups, e**-0.5,
        ROWS=max(16, triton.next_power_of_2(rows)), SIZE=e, STEP=KEYS, BIASED=bias is not None,
    )  # fmt: skip
    _join[(b * groups, rows)](
        found, most, total, out, rows, parts,
        PARTS=triton.next_power_of_2(parts), SIZE=e,
    )  # fmt: skip
    return out.view(b, h, q, e)
