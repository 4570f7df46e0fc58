"""A LLaMA-style block: RMSNorm, grouped-query attention with rotary positions, SwiGLU (arXiv 2302.13971)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.layers import Linear


@kind("llama")
@checked(frozen=True)
class LlamaSizes:
    """Sizes of a stack.

    Args:
        width: of the stream.
        layers: blocks.
        heads: of queries.
        groups: heads of keys and values.
        hidden: width inside the MLPs.
        eps: of the norms.
        theta: base of the rotary positions.
    """

    width: int = 4096
    layers: int = 32
    heads: int = 32
    groups: int = 32
    hidden: int = 11008
    eps: float = 1e-6
    theta: float = 10000.0

    @property
    def size(self) -> int:
        """The width of a head."""
        return self.width // self.heads


Keep = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Puts keys and values into a cache and returns what lies there."""
FEW_QUERIES, MANY_QUERIES = 64, 1024
"""Up to the first, scores are a small matrix, and keys are shared rather than repeated for a GPU's fused
kernel; beyond the second they would fill a CPU's memory."""


class RMSNorm(nn.RMSNorm):
    """`nn.RMSNorm` that computes in its input's type."""

    def forward(self, x: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)


class SwiGLU(nn.Module):
    """The gated MLP; gate and value come out of one product."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.inner = Linear(width, 2 * hidden, bias=False)
        self.outer = Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.inner(x).chunk(2, dim=-1)
        return self.outer(F.silu(gate) * value)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary positions, halves paired: x [..., T, H, 2R]; cosines and sines [..., T, 1, R]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosines - b * sines, b * cosines + a * sines], dim=-1)


def attend_grouped(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax attention in which groups of query heads share a head of keys and values.

    Args:
        queries: [B, H, Q, E].
        keys: [B, K, L, E], K a divisor of H.
        values: [B, K, L, E].
        bias: added to the scores, [Q, L] or [B, 1, Q, L]; minus infinity hides a key. None hides nothing.

    Returns:
        [B, H, Q, E].
    """
    b, h, q, e = queries.shape
    if q > (MANY_QUERIES if queries.device.type == "cpu" else FEW_QUERIES):
        if bias is not None and h != keys.shape[1]:  # fused kernels take a bias or shared keys, not both
            keys, values = (part.repeat_interleave(h // keys.shape[1], 1) for part in (keys, values))
        return F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=bias, enable_gqa=h != keys.shape[1]
        )
    # The heads of a group become rows of one product: the keys are read once instead of H / K times.
    packed = (queries * e**-0.5).reshape(b, keys.shape[1], -1, e)  # [B, K, H / K * Q, E]
    scores = (packed @ keys.transpose(-1, -2)).view(b, h, q, -1)
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(-1).view(b, keys.shape[1], -1, keys.shape[2]) @ values).view(b, h, q, e)


class GroupedAttention(nn.Module):
    """Projections of grouped-query attention; whoever calls keeps the keys and values.

    Args:
        width: of the stream.
        heads: of queries.
        groups: heads of keys and values.
    """

    def __init__(self, width: int, heads: int, groups: int):
        super().__init__()
        if width % heads or heads % groups:
            raise ValueError(
                f"width={width}, heads={heads}, groups={groups}: each must divide the one before"
            )
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.project = Linear(width, (heads + 2 * groups) * self.size, bias=False)
        self.out = Linear(width, width, bias=False)

    def split(self, x: Tensor, cosines: Tensor, sines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, D] → queries [B, H, T, E], keys and values [B, K, T, E], positions applied."""
        heads = self.project(x).unflatten(-1, (-1, self.size))  # [B, T, H + 2K, E]
        turned = rotate(heads[:, :, : self.heads + self.groups], cosines, sines).transpose(1, 2)
        values = heads[:, :, self.heads + self.groups :].transpose(1, 2)
        return turned[:, : self.heads], turned[:, self.heads :], values

    def join(self, mixed: Tensor) -> Tensor:
        """[B, H, T, E] → [B, T, D]."""
        return self.out(mixed.transpose(1, 2).flatten(2))


class LlamaBlock(nn.Module):
    """Attention and gated MLP, each behind a norm and added to the stream."""

    def __init__(self, width: int, heads: int, groups: int, hidden: int, eps: float = 1e-5):
        super().__init__()
        self.norm_attention = RMSNorm(width, eps=eps)
        self.attention = GroupedAttention(width, heads, groups)
        self.norm_mlp = RMSNorm(width, eps=eps)
        self.mlp = SwiGLU(width, hidden)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        bias: Tensor | None = None,
        keep: Keep | None = None,
        wanted: int | None = None,
    ) -> Tensor:
        """x [B, T, D] → [B, T, D], or of the last `wanted` tokens alone.

        Args:
            x: tokens as vectors.
            rotary: cosines and sines of their positions, [T, 1, E / 2].
            bias: see `attend_grouped`.
            keep: from keys and values of x, [B, K, T, E] each, to those that are attended to.
            wanted: tokens that are read, the last ones; of the others there are keys and values only.
        """
        queries, keys, values = self.attention.split(self.norm_attention(x), *rotary)
        if keep is not None:
            keys, values = keep(keys, values)
        if wanted is not None:
            x, queries = x[:, -wanted:], queries[:, :, -wanted:]
            bias = None if bias is None else bias[..., -wanted:, :]
        return self.finish(x, attend_grouped(queries, keys, values, bias))

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The stream x [B, T, D] after the attention's result [B, H, T, E]."""
        x = x + self.attention.join(mixed)
        return x + self.mlp(self.norm_mlp(x))
