"""Layers with one explicit precision: weights stay float32 and are cast to the type of what flows in."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _cast(parameter: Tensor | None, like: Tensor) -> Tensor | None:
    return None if parameter is None else parameter.to(like.dtype)


class Linear(nn.Linear):
    """`nn.Linear` that computes in its input's type."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), _cast(self.bias, x))

    def rows(self, x: Tensor, rows: slice | Tensor) -> Tensor:
        """Only the outputs of these rows of the weight, a range (nothing is copied) or int64 [n]."""
        bias = None if self.bias is None else self.bias[rows].to(x.dtype)
        return F.linear(x, self.weight[rows].to(x.dtype), bias)


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` that computes in its input's type."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.to(x.dtype), _cast(self.bias, x))


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` that computes in its input's type (its sums are float32 inside)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, _cast(self.weight, x), _cast(self.bias, x), self.eps)


class Residual(nn.Module):
    """Two convolutions of a ReLU, added to the stream [B, C, H, W]; at first they add nothing.

    Args:
        channels: of the stream.
        entry: through which the first of them reads the stream.
    """

    def __init__(self, channels: int, entry: Callable[[Tensor], Tensor] = F.relu):
        super().__init__()
        self.entry = entry
        self.inner = Conv2d(channels, channels, 3, padding=1)
        self.outer = Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(F.relu(self.inner(self.entry(x))))


class MLP(nn.Module):
    """Two linear layers around a squared ReLU: a GELU costs as much as the products on CPU in bfloat16."""

    def __init__(self, size_in: int, hidden: int, size_out: int):
        super().__init__()
        self.inner = Linear(size_in, hidden)
        self.outer = Linear(hidden, size_out)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.inner(x))
        return self.outer(h * h)


def fourier_features(x: Tensor, octaves: int) -> Tensor:
    """`x` with sines and cosines of its octaves: they resolve millimetres for a network, `x` alone does not.

    Args:
        x: [..., S], of order one.

    Returns:
        [..., S * (1 + 2 * octaves)].
    """
    frequencies = torch.pi * 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype)
    phases = (x[..., None] * frequencies).flatten(-2)  # [..., S * octaves]
    return torch.cat([x, phases.sin(), phases.cos()], dim=-1)
