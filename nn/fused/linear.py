"""Linear layers of few rows in one launch each: norm before, gate or sum behind, weights of 16 or 8 bits."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_ROWS = 64
"""Rows of a tile; more rows read the weights again."""
PROCESSORS = 132
"""Streaming multiprocessors of an H100 or H200: at least so many tiles of columns keep all busy."""


@triton.jit
def _linear(
    x, weight, scale, gain, added, out, rows, width, eps,
    DEPTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr,
    NORMED: tl.constexpr, FIRST: tl.constexpr, GATED: tl.constexpr, ADDED: tl.constexpr, SCALED: tl.constexpr,
):  # fmt: skip
    """A tile of columns for a tile of rows; a row's factor of the norm comes out of the same loop, unless it
    has to be known first."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    there, inside = (row < rows)[:, None], (column < width)[:, None]
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    value = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([ROWS], tl.float32)
    before = tl.full([ROWS], 1.0, tl.float32)
    if FIRST:
        for start in range(0, DEPTH, STEP):
            depth = start + tl.arange(0, STEP)
            a = tl.load(x + row[:, None] * DEPTH + depth[None], mask=there, other=0.0).to(tl.float32)
            squares += tl.sum(a * a, 1)
        before = 1.0 / tl.sqrt(squares / DEPTH + eps)
    for start in range(0, DEPTH, STEP):
        depth = start + tl.arange(0, STEP)
        a = tl.load(x + row[:, None] * DEPTH + depth[None], mask=there, other=0.0)
        if NORMED:
            wide = a.to(tl.float32)
            if FIRST:
                wide = wide * before[:, None]
            else:
                squares += tl.sum(wide * wide, 1)
            a = (wide * tl.load(gain + depth)[None].to(tl.float32)).to(a.dtype)
        w = tl.load(weight + column[:, None] * DEPTH + depth[None], mask=inside, other=0.0).to(a.dtype)
        total += tl.dot(a, tl.trans(w), input_precision="ieee")
        if GATED:
            second = weight + (column[:, None] + width) * DEPTH + depth[None]
            w = tl.load(second, mask=inside, other=0.0).to(a.dtype)
            value += tl.dot(a, tl.trans(w), input_precision="ieee")
    if SCALED:
        total *= tl.load(scale + column, mask=column < width, other=0.0).to(tl.float32)[None]
        if GATED:
            value *= tl.load(scale + width + column, mask=column < width, other=0.0).to(tl.float32)[None]
    if NORMED and not FIRST:
        factor = (1.0 / tl.sqrt(squares / DEPTH + eps))[:, None]
        total *= factor
        value *= factor
    if GATED:
        total = total / (1.0 + tl.exp(-total)) * value
    offset = row[:, None] * width + column[None]
    there = there & (column < width)[None]
    if ADDED:
        total += tl.load(added + offset, mask=there, other=0.0).to(tl.float32)
    tl.store(out + offset, total.to(out.dtype.element_ty), mask=there)


def linear_rows(
    x: Tensor,
    weight: Tensor,
    scale: Tensor | None = None,
    gain: Tensor | None = None,
    eps: float = 0.0,
    gated: bool = False,
    added: Tensor | None = None,
) -> Tensor:
    """x [R, D] → [R, N] = added + linear(norm(x)); gated: silu(first half) * second half.

    The norm's factor is applied behind the product, which differs from norm and product in turn by rounding
    alone; in float16, whose range is small, before it.

    Args:
        x: contiguous; D a multiple of 16.
        weight: [N, D], gated [2N, D], contiguous; in x's type, int8 or float8.
        scale: of its outputs, [N] or [2N], where it has eight bits.
        gain: of an RMS norm of x, [D]; None for no norm.
        eps: of the norm.
        gated: see above.
        added: [R, N], contiguous; None adds nothing.
    """
    rows, depth = x.shape
    width = weight.shape[0] // 2 if gated else weight.shape[0]
    out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    tile = min(MOST_ROWS, max(16, triton.next_power_of_2(rows)))
    columns = _columns(width, gated)
    _linear[(triton.cdiv(width, columns), triton.cdiv(rows, tile))](
        x, weight, x if scale is None else scale, x if gain is None else gain,
        x if added is None else added, out, rows, width, eps,
        DEPTH=depth, ROWS=tile, COLUMNS=columns, STEP=_step(depth),
        NORMED=gain is not None, FIRST=gain is not None and x.dtype == torch.float16,
        GATED=gated, ADDED=added is not None, SCALED=scale is not None,
    )  # fmt: skip
    return out


def _columns(width: int, gated: bool) -> int:
    """Columns of a tile: about one tile for every processor; wider ones read x less often."""
    fair = triton.next_power_of_2(triton.cdiv(width, PROCESSORS))
    return min(max(fair, 16), 32 if gated else 64)


def _step(depth: int) -> int:
    """Terms of the sum that are taken at once: a power of two that divides it."""
    if depth % 16:
        raise ValueError(f"a sum over {depth} numbers; fused layers want a multiple of 16")
    return min(128, depth & -depth)
