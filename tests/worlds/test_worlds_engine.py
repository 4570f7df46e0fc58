"""The kernels against PyTorch, on weights that int8 holds exactly."""

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="numba is not installed: the kernels are for it")

from playloop.nn import kernels
from playloop.nn.sampling import inverse_cdf, nucleus
from playloop.worlds.decode import decode_frame
from playloop.worlds.engine import KernelBackend
from playloop.worlds.model import WorldConfig
from playloop.worlds.ring import RingCache, write_frame
from playloop.worlds.sampler import SamplerConfig

SIZES = {"width": 32, "layers": 3, "heads": 4, "groups": 2, "hidden": 48}
CONFIG = WorldConfig(3, 4, 11, (3, 2), context=3, windows=(1, 2, 4), **SIZES)


def rounded(linear, norm=None):
    """Make a product's weights ones that int8 holds, after its norm's weight is in them."""
    scale = 1.0 if norm is None else norm.weight.data
    q, s = kernels.quantize_rows((linear.weight.data * scale).numpy())
    linear.weight.data = torch.from_numpy(q * s[:, None])[: len(linear.weight)] / scale


@pytest.fixture(scope="module")
def model():
    model = CONFIG.make(seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(4.0)
        elif "norm" in name:
            parameter.data = 0.5 + torch.rand(parameter.shape, generator=generator)
    for block in model.layers():
        rounded(block.attention.project, block.norm_attention)
        rounded(block.attention.out)
        rounded(block.mlp.inner, block.norm_mlp)
        rounded(block.mlp.outer)
    rounded(model.head, model.norm)
    return model


@pytest.mark.parametrize("window", [1, 2, 4])
def test_the_same_tokens_as_pytorch_for_longer_than_the_ring(model, window):
    sampler, generator = SamplerConfig(window=window), torch.Generator().manual_seed(4)
    engine, cache = KernelBackend(model, 1), RingCache.for_model(model, 1)
    first = torch.randint(11, (1, 12), generator=generator)
    none = torch.zeros(1, 2, dtype=torch.int64)
    engine.write_frame(0, first[0], None, sampler)
    write_frame(model, cache, first, none, torch.tensor([False]), sampler)
    engine.write_frame(0, first[0].flip(0), none[0], sampler)
    write_frame(model, cache, first.flip(1), none, torch.tensor([True]), sampler)
    for number in range(8):
        action = torch.tensor([[number % 3, number % 2]])
        uniform = torch.rand(1, 12, generator=generator, dtype=torch.float64)
        theirs = decode_frame(model, cache, action, uniform, sampler)[0]
        assert torch.equal(engine.decode_frame(0, action[0], uniform[0].numpy(), sampler), theirs)
    keys = engine.caches[0].buffers[0][0, :, :, : cache.blocks * cache.slots].transpose(0, 2, 1)  # [K, P, E]
    written = cache.keys[0][0].abs().sum(-1) > 0
    np.testing.assert_allclose(keys[written.numpy()], cache.keys[0][0][written].numpy(), rtol=1e-3, atol=1e-4)


def test_garbage_in_unwritten_places_changes_nothing(model):
    def play(fill):
        engine, sampler, rng = KernelBackend(model, 1), SamplerConfig(), np.random.default_rng(0)
        for buffer in engine.caches[0].buffers:
            buffer.fill(fill)
        engine.write_frame(0, torch.arange(12) % 11, None, sampler)
        action = torch.tensor([1, 1])
        return [engine.decode_frame(0, action, rng.random(12), sampler).tolist() for _ in range(3)]

    assert play(0.0) == play(1e4)


def test_exponentials():
    x = np.concatenate([np.linspace(-100, 80, 5000), [0.0]]).astype(np.float32)
    y = x.copy()
    kernels.exponentials(y, np.zeros(len(x), np.int32), len(x))
    inside = x > -87
    np.testing.assert_allclose(y[inside], np.exp(x[inside].astype(np.float64)), rtol=2e-5)
    assert (y[~inside] < 1e-37).all() and y[-1] == 1


@pytest.mark.parametrize("top_p", [0.3, 0.8, 1.0])
def test_draws_follow_the_rule_of_sampling(top_p):
    rng = np.random.default_rng(3)
    for _ in range(50):
        logits, uniform = rng.normal(0, 3, 40).astype(np.float32), rng.random()
        kept = nucleus((torch.from_numpy(logits) / 0.7).softmax(-1), top_p)
        wanted = int(inverse_cdf(kept, torch.tensor(uniform)))
        assert kernels.draw(logits.copy(), np.zeros(40, np.int32), uniform, 0.7, top_p) == wanted
        assert kernels.draw(logits.copy(), np.zeros(40, np.int32), uniform, 0.0, top_p) == logits.argmax()


def test_int8_products_are_close():
    rng = np.random.default_rng(5)
    weight, x = rng.normal(size=(10, 36)).astype(np.float32), rng.normal(size=(8, 36)).astype(np.float32)
    q, scale = kernels.quantize_rows(weight)
    out = np.zeros((8, 12), np.float32)
    kernels.linear(x, q, scale, out, 8)
    np.testing.assert_allclose(out[:, :10], x @ (q[:10] * scale[:10, None]).T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out[:, :10], x @ weight.T, atol=0.2)
    assert (out[:, 10:] == 0).all()
