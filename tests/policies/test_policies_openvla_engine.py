"""A decision as one function: nothing in it waits for the host, and every way of computing it agrees."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from no_host import NoExchange, NoHost, without_host
from openvla_tiny import inputs_of, model_of

from playloop.nn.llama import LlamaSizes
from playloop.nn.quantize import quantize
from playloop.policies.diffusion import RELEASED, Noise, draw_noise
from playloop.policies.openvla.decoders import DecodingConfig, Engine, block_pass, decode_chunk, reused_pass

WAYS = [
    ("diffusion", {}, {}),
    ("diffusion", {"attention": "block"}, {}),
    ("diffusion", {}, {"reuse": 2}),
    ("openvla", {}, {}),
    ("parallel", {}, {}),
    ("oft", {}, {}),
]


def inputs(model, decoding):
    images, proprio, prompt = inputs_of(model.config)
    generators = [torch.Generator().manual_seed(row) for row in range(len(images))]
    return images, proprio, prompt, draw_noise(generators, decoding.diffusion, model.config.tokens)


@pytest.mark.parametrize(("kind", "sizes", "how"), WAYS)
@torch.inference_mode()
def test_a_gpu_can_capture_it(kind, sizes, how):
    model = model_of(kind, **sizes)
    engine = Engine(model, DecodingConfig(**how).of(model.config))
    images, proprio, prompt, noise = inputs(model, engine.decoding)
    tensors = images, prompt, noise.order, noise.token, *([] if proprio is None else [proprio])
    assert without_host(engine._decider(), *tensors) > 100


@torch.inference_mode()
def test_what_a_gpu_cannot_capture_is_seen():
    x = torch.arange(4)
    for wrong in (lambda: int(x[0]), lambda: x[x > 1], lambda: torch.tensor([1, 2]), lambda: bool(x.any())):
        with pytest.raises(AssertionError, match="waits for the host"), NoExchange(), NoHost():
            wrong()


def test_an_engine_that_nobody_needs_gives_its_memory_back_at_once():
    """A GPU's graphs hold gigabytes, and Python collects circles when it likes."""
    model = model_of("parallel")
    engine = Engine(model, DecodingConfig().of(model.config))
    engine(*inputs(model, engine.decoding))
    gone = weakref.ref(engine)
    gc.disable()
    try:
        del engine
        assert gone() is None
    finally:
        gc.enable()


@torch.inference_mode()
def test_the_engine_decides_as_the_decoder():
    model = model_of("diffusion")
    engine = Engine(model, DecodingConfig().of(model.config))
    images, proprio, prompt, noise = inputs(model, engine.decoding)
    found = engine(images, proprio, prompt, noise)
    wanted = decode_chunk(model, model.encode(images, proprio, prompt), engine.decoding, noise)
    assert torch.equal(found.tokens, wanted.tokens) and torch.equal(found.remasked, wanted.remasked)


def half_filled(model, batch):
    """Ids of which every other one is still masked."""
    ids = 31800 + torch.arange(model.config.tokens).repeat(batch, 1)
    ids[:, ::2] = model.config.mask
    return ids


@torch.inference_mode()
def test_reused_keys_are_exact_in_whole_passes_and_while_nothing_changed():
    model = model_of("diffusion")
    images, proprio, prompt, _ = inputs(model, DecodingConfig().of(model.config))
    prefix = model.encode(images, proprio, prompt)
    masked, filled = torch.full_like(half_filled(model, 2), model.config.mask), half_filled(model, 2)
    exact, reused = block_pass(model, prefix), reused_pass(model, prefix, 2)
    torch.testing.assert_close(reused(masked), exact(masked))  # a whole pass
    torch.testing.assert_close(reused(masked), exact(masked))  # the keys are those of this block
    error = (reused(filled) - exact(filled)).abs().max()  # keys of another block
    assert 1e-4 < error < 3, "approximate, and no nonsense"
    torch.testing.assert_close(reused(filled), exact(filled))  # a whole pass again


def test_reuse_is_refused_where_it_means_nothing_and_said_where_it_does():
    model = model_of("diffusion", attention="block")
    with pytest.raises(ValueError, match=r"reuse=1: .*Use 0"):
        DecodingConfig(reuse=1).of(model.config)
    with pytest.raises(ValueError, match="reuse=-1"):
        DecodingConfig(reuse=-1)
    assert DecodingConfig().of(model.config).reuse == 0, "never a default"


LARGER = LlamaSizes(width=64, layers=2, heads=4, groups=4, hidden=96)
"""Heads that a GPU's kernels can compute."""


@pytest.mark.parametrize(("kind", "attention"), [("openvla", "causal"), ("diffusion", "block")])
@torch.inference_mode()
def test_tritons_kernels_decide_as_pytorchs(kind, attention):
    pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch's CUDA builds")
    small = replace(LARGER, width=32, heads=2, groups=2, hidden=48)  # Triton's interpreter takes its time
    model = model_of(kind, attention=attention, llama=small, chunk=2 if kind == "diffusion" else 1)
    decoding = DecodingConfig(diffusion=replace(RELEASED, rounds=2)).of(model.config)
    images, proprio, prompt, noise = inputs(model, decoding)
    prefix, found = model.encode(images[:1], None if proprio is None else proprio[:1], prompt[:1]), []
    for kernels in ("torch", "triton"):
        model.llama.choose_kernels(kernels, torch.float32)
        found.append(decode_chunk(model, prefix, decoding, Noise(noise.order[:1], noise.token[:1])).tokens)
    assert torch.equal(*found) and found[0].unique().numel() > 3


@pytest.mark.parametrize(("kind", "least"), [("int8", 0.8), ("fp8", 0.3)])
@torch.inference_mode()
def test_eight_bits_leave_most_likeliest_tokens_as_they_are(kind, least):
    model = model_of("parallel", llama=LARGER)
    decoding = DecodingConfig().of(model.config)
    prefix = model.encode(*inputs(model, decoding)[:3])
    exact = decode_chunk(model, prefix, decoding, Noise(torch.zeros(1), torch.zeros(1))).tokens
    quantize(model.llama, kind)
    found = decode_chunk(model, prefix, decoding, Noise(torch.zeros(1), torch.zeros(1))).tokens
    same = float((exact == found).float().mean())
    assert least <= same < 1, same
