"""Eight-bit products: rounding to the nearest, an error of the expected size, every layer replaced."""

import pytest
import torch
from torch import nn

from playloop.nn.layers import Linear
from playloop.nn.llama import LlamaBlock
from playloop.nn.quantize import QuantizedLinear, int8_product, quantize, rows_to_fp8, rows_to_int8


def generator():
    return torch.Generator().manual_seed(0)


def test_int8_rounds_to_the_nearest():
    weight = torch.randn(8, 64, generator=generator())
    small, scale = rows_to_int8(weight)
    assert (small.float() * scale[:, None] - weight).abs().amax() <= scale.amax() / 2 * 1.001
    assert (small.abs().amax(1) == 127).all()


def test_fp8_keeps_three_bits_behind_the_point():
    rows = torch.randn(8, 64, generator=generator())
    small, scale = rows_to_fp8(rows)
    error = (small.float() * scale - rows).abs()
    assert (error <= rows.abs() / 16 + scale * 2**-10).all()


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.02), ("fp8", 0.06)])
def test_products_are_close(kind, most):
    linear = Linear(64, 32).requires_grad_(False)
    x = torch.randn(2, 5, 64, generator=generator())
    found, wanted = QuantizedLinear(linear, kind)(x), linear(x)
    assert found.shape == wanted.shape and found.dtype == x.dtype
    error = (found - wanted).norm() / wanted.norm()
    assert 1e-4 < error < most


def test_int8_products_need_no_kernel_of_their_own():
    """On the meta device as on a GPU; what is computed there is computed here in float64."""
    rows = torch.randn(7, 64, generator=generator()).bfloat16()
    small, scale = rows_to_int8(torch.randn(48, 64, generator=generator()))
    scale = scale.bfloat16()
    exact = rows.double() @ small.double().T * scale.double()
    written_out = nn.functional.linear(rows, small.bfloat16()) * scale
    for found in (int8_product(rows, small, scale), written_out):
        assert ((found - exact).norm() / exact.norm()) < 2**-8
    found = int8_product(rows.to("meta"), small.to("meta"), scale.to("meta"))
    assert found.shape == (7, 48) and found.dtype == torch.bfloat16


def test_every_layer_of_a_block_is_replaced():
    block = quantize(LlamaBlock(64, 4, 2, 128), "int8")
    assert not [m for m in block.modules() if isinstance(m, nn.Linear)]
    assert sum(isinstance(m, QuantizedLinear) for m in block.modules()) == 4
    with pytest.raises(ValueError, match="int8 or fp8"):
        quantize(nn.Sequential(nn.Linear(2, 2)), "int4")
