"""Products with weights in eight bits: half of what bfloat16 makes the memory read, at a measured loss.

`int8`: whole numbers with a scale for each output; inputs stay as they are. `fp8`: float8_e4m3 with a scale
for each output, and inputs rounded likewise with a scale for each row: a GPU multiplies in eight bits, too.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["int8", "fp8"]
KINDS = ("int8", "fp8")
LARGEST = torch.finfo(torch.float8_e4m3fn).max


def rows_to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """[N, K] → int8 [N, K] and scales float32 [N]."""
    scale = weight.float().abs().amax(1).clamp_min(1e-12) / 127
    return (weight.float() / scale[:, None]).round().to(torch.int8), scale


def rows_to_fp8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """[N, K] → float8_e4m3 [N, K] and scales float32 [N, 1]."""
    scale = rows.float().abs().amax(1, keepdim=True).clamp_min(1e-12) / LARGEST
    return (rows.float() / scale).to(torch.float8_e4m3fn), scale


def int8_product(rows: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Rows bfloat16 [R, K] times weights int8 [N, K] with scales bfloat16 [N] → bfloat16 [R, N]."""
    if rows.device.type == "cpu":
        return torch._weight_int8pack_mm(rows.contiguous(), weight, scale)
    # PyTorch's kernel for GPUs reads the weights again for every row, number by number; bfloat16 holds them.
    return F.linear(rows, weight.to(rows.dtype)) * scale


class QuantizedLinear(nn.Module):
    """A linear layer whose weight is kept in eight bits; computes in its input's type, bfloat16 for int8.

    Args:
        linear: the layer that it stands for.
        kind: see the module.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear, kind: Kind):
        super().__init__()
        self.kind: Kind = kind
        self.bias = linear.bias
        weight, scale = (rows_to_int8 if kind == "int8" else rows_to_fp8)(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.to(torch.bfloat16) if kind == "int8" else scale)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if self.kind == "int8":
            out = int8_product(rows.to(torch.bfloat16), self.weight, self.scale)
        else:
            small, scale = rows_to_fp8(rows)
            out = torch._scaled_mm(
                small, self.weight.T, scale_a=scale, scale_b=self.scale.T, out_dtype=torch.bfloat16
            )
        found = out.to(x.dtype).unflatten(0, x.shape[:-1])
        return found if self.bias is None else found + self.bias.to(x.dtype)


def quantize(module: nn.Module, kind: Kind) -> nn.Module:
    """Replace every linear layer inside a module, in place; returns it."""
    if kind not in KINDS:
        raise ValueError(f"weights={kind!r}: use {' or '.join(KINDS)}")
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, QuantizedLinear(child, kind))
        else:
            quantize(child, kind)
    return module


def kind_of(module: nn.Module) -> Kind | None:
    """What `quantize` made of a module; None if it was not."""
    return next((part.kind for part in module.modules() if isinstance(part, QuantizedLinear)), None)
