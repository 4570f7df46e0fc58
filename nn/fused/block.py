"""A LLaMA block of few tokens over a static cache in seven launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import triton
from torch import Tensor, nn

from playloop.nn.fused.attention import attend_packed, store_heads
from playloop.nn.fused.linear import linear_rows
from playloop.nn.llama import LlamaBlock, LlamaSizes

Weight = tuple[Tensor, Tensor | None]
"""A weight, and the scales of its outputs where it has eight bits."""


def fused_blocks(
    blocks: Sequence[LlamaBlock],
    x: Tensor,
    rotary: tuple[Tensor, Tensor],
    bias: Tensor | None,
    kept: Sequence[tuple[Tensor, Tensor]],
    slots: Tensor,
) -> Tensor:
    """`Llama.forward` of few tokens up to its norm, by Triton's kernels: x [B, n, D] → [B, n, D].

    Args:
        blocks: of the stack.
        x: tokens as vectors.
        rotary: cosines and sines of their positions.
        bias: added to the scores, as in `Llama.forward`.
        kept: keys and values of every layer, each [B, K, S, E], written into `slots`.
        slots: of the first tokens of x.
    """
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    rotary = rotary[0].contiguous(), rotary[1].contiguous()
    bias = None if bias is None else bias.to(x.dtype).contiguous()
    slots = slots.contiguous()
    for block, pair in zip(blocks, kept, strict=True):
        rows = _block(block, rows, (x.shape[0], x.shape[1]), rotary, bias, pair, slots)
    return rows.view(x.shape)


def _block(
    block: LlamaBlock,
    rows: Tensor,
    shape: tuple[int, int],
    rotary: tuple[Tensor, Tensor],
    bias: Tensor | None,
    pair: tuple[Tensor, Tensor],
    slots: Tensor,
) -> Tensor:
    """The stream [B * n, D] behind the block."""
    attention, mlp = block.attention, block.mlp
    weight, scale = weight_of(attention.project)
    projected = linear_rows(rows, weight, scale, *_norm(block.norm_attention))
    queries = store_heads(projected.view(*shape, -1), rotary, *pair, slots, attention.heads)
    mixed = attend_packed(queries, *pair, shape[1], bias).view(len(rows), -1)
    rows = linear_rows(mixed, *weight_of(attention.out), added=rows)
    inner = linear_rows(rows, *weight_of(mlp.inner), *_norm(block.norm_mlp), gated=True)
    return linear_rows(inner, *weight_of(mlp.outer), added=rows)


def weight_of(linear: nn.Module) -> Weight:
    """A layer's weight as it is kept; `nn.quantize.QuantizedLinear` keeps eight bits and scales."""
    scale = getattr(linear, "scale", None)
    return cast(Tensor, linear.weight), None if scale is None else scale.flatten()


def _norm(norm: nn.RMSNorm) -> tuple[Tensor, float]:
    """Gain and eps."""
    assert norm.weight is not None and norm.eps is not None
    return norm.weight, norm.eps


def check_fused(blocks: Sequence[LlamaBlock], sizes: LlamaSizes, dtype: torch.dtype) -> None:
    """Refuse a stack that the kernels cannot compute.

    Raises:
        ValueError: says why, and what to use instead.
    """
    device = next(blocks[0].parameters()).device.type
    reason = None
    if device != "cuda" and not triton.knobs.runtime.interpret:
        reason = f"there are none for {device}"
    elif sizes.size < 16 or sizes.size & (sizes.size - 1):
        reason = f"heads of {sizes.size} numbers are no power of two from 16"
    elif sizes.width % 16 or sizes.hidden % 16:
        reason = f"widths {sizes.width} and {sizes.hidden} are no multiples of 16"
    for block in blocks:
        for linear in (block.attention.project, block.attention.out, block.mlp.inner, block.mlp.outer):
            weight, scale = weight_of(linear)
            if scale is None and weight.dtype != dtype:
                reason = f"weights are {weight.dtype}, computed in is {dtype}"
    if reason:
        raise ValueError(f"kernels=triton: {reason}; use kernels=torch")
