"""Triton's kernels against PyTorch's, on a GPU or by Triton's interpreter, and compiled for an H100."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch's CUDA builds")

from fused_compile import KERNELS

from playloop.nn.decoder import Llama, Rotary, StaticCache
from playloop.nn.fused.attention import attend_packed
from playloop.nn.fused.draw import draw_tokens
from playloop.nn.fused.linear import linear_rows
from playloop.nn.llama import LlamaSizes
from playloop.nn.quantize import quantize, rows_to_int8
from playloop.nn.sampling import inverse_cdf
from playloop.worlds.sampler import SamplerConfig, kept

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = LlamaSizes(width=64, layers=2, heads=4, groups=2, hidden=96)
PLACES = 150


def generator(seed=0):
    return torch.Generator(DEVICE).manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), device=DEVICE)


@pytest.mark.parametrize("hidden", ["none", "shared", "rows"])
@pytest.mark.parametrize(
    ("heads", "groups", "asked", "places"), [(8, 2, 14, 150), (2, 2, 1, 64), (4, 1, 20, 200)]
)
def test_attention_equals_the_plain_formula(hidden, heads, groups, asked, places):
    batch, size, share = 2, 32, heads // groups
    queries = draw(batch, heads, asked, size)
    keys, values = draw(batch, groups, places, size, seed=1), draw(batch, groups, places, size, seed=2)
    bias = None
    if hidden != "none":
        shape = (asked, places) if hidden == "shared" else (batch, 1, asked, places)
        seen = draw(*shape, seed=3) > 1.0
        seen[..., : places // 2] = False  # a whole range that nobody sees
        seen[..., -3:] = True
        bias = torch.zeros(shape, device=DEVICE).masked_fill(~seen, float("-inf"))
    packed = queries.reshape(batch * groups, share * asked, size)
    found = attend_packed(packed, keys, values, asked, bias)
    scores = queries @ keys.repeat_interleave(share, 1).transpose(-1, -2) * size**-0.5
    shares = (scores if bias is None else scores + bias).softmax(-1)
    wanted = (shares @ values.repeat_interleave(share, 1)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 70])
@pytest.mark.parametrize("gated", [False, True])
def test_linear_is_norm_product_gate_and_sum(rows, gated):
    depth, width = 96, 40
    x, weight = draw(rows, depth), draw(2 * width if gated else width, depth, seed=1)
    gain, added = draw(depth, seed=2), draw(rows, width, seed=3)
    found = linear_rows(x, weight, gain=gain, eps=1e-5, gated=gated, added=added)
    normed = torch.nn.functional.rms_norm(x, (depth,), gain, 1e-5)
    product = normed @ weight.T
    if gated:
        product = torch.nn.functional.silu(product[:, :width]) * product[:, width:]
    torch.testing.assert_close(found, product + added, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [1e-3, 300.0])
def test_small_and_large_numbers_survive_the_norm_in_float16(size):
    x, weight, gain = size * draw(3, 96), draw(40, 96, seed=1), 0.02 * draw(96, seed=2).abs()
    found = linear_rows(x.half(), weight.half(), gain=gain.half(), eps=1e-12)
    halves = [part.half().double() for part in (x, gain, weight)]
    wanted = torch.nn.functional.rms_norm(halves[0], (96,), halves[1], 1e-12) @ halves[2].T
    torch.testing.assert_close(found.double(), wanted, atol=2e-3, rtol=2e-3)


def test_eight_bit_weights_are_scaled_behind_the_product():
    x, weight = draw(5, 64), draw(32, 64, seed=1)
    small, scale = rows_to_int8(weight)
    found = linear_rows(x, small, scale)
    torch.testing.assert_close(found, x @ (small.float() * scale[:, None]).T, atol=1e-4, rtol=1e-4)


def stack(dtype=torch.float32):
    model = Llama(SIZES).to(DEVICE).requires_grad_(False)
    for number, parameter in enumerate(model.parameters()):
        noise = draw(*parameter.shape, seed=number)
        parameter.copy_(noise * 0.2 if parameter.ndim == 2 else 1 + noise * 0.1)
    return model.to(dtype)


def filled(batch, dtype):
    cache = StaticCache.empty(SIZES, batch, PLACES, dtype, DEVICE)
    for number, buffer in enumerate((*cache.keys, *cache.values)):
        buffer.copy_(draw(*buffer.shape, seed=100 + number))
    return cache


def passes(model, batch, asked, written, per_row, wanted=None):
    """One pass by both kinds of kernels: states and caches."""
    dtype = model.norm.weight.dtype
    positions = torch.arange(100, 100 + asked, device=DEVICE)
    if per_row:
        positions = positions + 3 * torch.arange(batch, device=DEVICE)[:, None]
    hidden = draw(batch, 1, asked, PLACES, seed=7) > 0.5 if per_row else draw(asked, PLACES, seed=7) > 0.5
    hidden[..., 0] = False
    bias = torch.zeros(hidden.shape, dtype=dtype, device=DEVICE).masked_fill(hidden, float("-inf"))
    x, rotary = draw(batch, asked, 64, seed=8).to(dtype), Rotary(SIZES, PLACES, dtype, DEVICE)
    results = []
    for kernels in ("torch", "triton"):
        model.choose_kernels(kernels, dtype)
        cache = filled(batch, dtype)
        states = model(x, rotary.at(positions), bias, cache, positions[..., :written], wanted)
        results.append([states, *cache.keys, *cache.values])
    return results


@pytest.mark.parametrize(("batch", "per_row"), [(1, False), (2, True)])
@pytest.mark.parametrize(("asked", "written"), [(14, 9), (1, 1)])
def test_a_stack_equals_pytorchs(batch, per_row, asked, written):
    for theirs, ours in zip(*passes(stack(), batch, asked, written, per_row), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_wanted_tokens_are_the_last_ones():
    theirs, ours = passes(stack(), 2, 5, 5, False, wanted=2)
    assert ours[0].shape == (2, 2, 64)
    torch.testing.assert_close(ours[0], theirs[0], atol=2e-5, rtol=1e-4)


def test_half_precision_stays_half_precision():
    theirs, ours = passes(stack(torch.float16), 1, 6, 6, False)
    assert ours[0].dtype == torch.float16
    torch.testing.assert_close(ours[0], theirs[0], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.06), ("fp8", 0.25)])
def test_eight_bits_cost_what_they_cost_pytorch(kind, most):
    model, small = stack(), quantize(copy.deepcopy(stack()), kind)
    exact = passes(model, 1, 3, 3, False)[0][0]
    errors = [(found[0] - exact).norm() / exact.norm() for found in passes(small, 1, 3, 3, False)]
    assert 1e-3 < errors[1] < 1.2 * errors[0] < most


@pytest.mark.parametrize(("top_p", "top_k"), [(0.3, None), (0.8, None), (1.0, None), (1.0, 11)])
@pytest.mark.parametrize("count", [48, 8192])
def test_draws_are_those_of_pytorch(top_p, top_k, count):
    logits, uniform = 3 * draw(4, 10, count), torch.rand(4, 10, generator=generator(), device=DEVICE)
    uniform[0, :2] = torch.tensor([0.0, 1 - 2**-24], device=DEVICE)
    logits[3] = logits[3].round()  # equal ones are in together
    found = draw_tokens(logits, uniform, 0.7, top_p, top_k)
    wanted = inverse_cdf(kept(logits, SamplerConfig(0.7, top_p, top_k=top_k)), uniform)
    assert torch.equal(found, wanted) and wanted.unique().numel() > 8


def test_a_stack_that_the_kernels_cannot_compute_is_refused():
    with pytest.raises(ValueError, match=r"heads of 12 numbers.*use kernels=torch"):
        Llama(LlamaSizes(24, 1, 2, 1, 32)).to(DEVICE).choose_kernels("triton", torch.float32)
    with pytest.raises(ValueError, match=r"weights are torch.float32, computed in is torch.bfloat16"):
        stack().choose_kernels("triton", torch.bfloat16)
    with pytest.raises(ValueError, match="torch or triton"):
        stack().choose_kernels("cudnn", torch.float32)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton's compiler is built for Linux")
def test_they_compile_for_an_h100_and_spill_no_registers():
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    script = os.path.join(os.path.dirname(__file__), "fused_compile.py")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found.keys() == KERNELS.keys()
    for name, (spilled, tensor_cores) in found.items():
        assert spilled == 0, f"{name} keeps {spilled} bytes outside of registers"
        assert tensor_cores == (name.startswith(("linear", "attention"))), name
