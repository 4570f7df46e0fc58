"""The vision transformer against transformers' DINOv2 with registers and SigLIP; FiLM against its formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel, SiglipVisionConfig
from transformers import SiglipVisionModel as Siglip

from playloop.nn.vit import FiLM, ViT, ViTConfig

SETTINGS = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}
"""Of both of transformers' networks."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def shake(module, seed=0):
    """Random parameters, so that no norm, scale or bias is the identity."""
    noise = generator(seed)
    for parameter in module.parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=noise) + (parameter.ndim == 1))
    return module.eval()


def copy_linear(ours, *theirs):
    ours.weight.copy_(torch.cat([layer.weight for layer in theirs]))
    ours.bias.copy_(torch.cat([layer.bias for layer in theirs]))


@torch.no_grad()
def from_dinov2(theirs, config):
    ours = ViT(config)
    embeddings = theirs.embeddings
    copy_linear(ours.patches, embeddings.patch_embeddings.projection)
    # Theirs has a position for the class token, added to it; the published file has none.
    ours.cls.copy_(embeddings.cls_token + embeddings.position_embeddings[:, :1])
    ours.positions.copy_(embeddings.position_embeddings[:, 1:])
    ours.registers.copy_(embeddings.register_tokens)
    for mine, block in zip(ours.blocks, theirs.encoder.layer, strict=False):
        attention = block.attention
        copy_linear(mine.norm_attention, block.norm1)
        copy_linear(mine.project, attention.q_proj, attention.k_proj, attention.v_proj)
        copy_linear(mine.out, attention.o_proj)
        copy_linear(mine.norm_mlp, block.norm2)
        copy_linear(mine.inner, block.mlp.fc1)
        copy_linear(mine.outer, block.mlp.fc2)
        mine.scale_attention.copy_(block.layer_scale1.lambda1)
        mine.scale_mlp.copy_(block.layer_scale2.lambda1)
    return ours.eval()


@torch.no_grad()
def from_siglip(theirs, config):
    ours, model = ViT(config), getattr(theirs, "vision_model", theirs)
    copy_linear(ours.patches, model.embeddings.patch_embedding)
    ours.positions.copy_(model.embeddings.position_embedding.weight[None])
    for mine, block in zip(ours.blocks, model.encoder.layers, strict=False):
        attention = block.self_attn
        copy_linear(mine.norm_attention, block.layer_norm1)
        copy_linear(mine.project, attention.q_proj, attention.k_proj, attention.v_proj)
        copy_linear(mine.out, attention.out_proj)
        copy_linear(mine.norm_mlp, block.layer_norm2)
        copy_linear(mine.inner, block.mlp.fc1)
        copy_linear(mine.outer, block.mlp.fc2)
    return ours.eval()


@torch.no_grad()
def test_it_computes_what_dinov2_with_registers_does():
    config = ViTConfig(32, 4, 4, 64, image=56, cls=True, registers=4, layer_scale=True)
    settings = Dinov2WithRegistersConfig(**SETTINGS, mlp_ratio=2, hidden_act="gelu", layer_norm_eps=1e-6)
    theirs = shake(Dinov2WithRegistersModel(settings))
    ours = from_dinov2(theirs, config)
    images = torch.randn(2, 3, 56, 56, generator=generator(1))
    states = theirs(images, output_hidden_states=True).hidden_states  # before block 0, after it, …
    torch.testing.assert_close(ours(images), states[3][:, 5:], rtol=1e-4, atol=1e-4)
    assert (ours(images) - states[4][:, 5:]).abs().max() > 0.1  # the last block is not in it


@torch.no_grad()
def test_it_computes_what_siglip_does():
    config = ViTConfig(32, 4, 4, 56, image=56)
    settings = SiglipVisionConfig(
        **SETTINGS,
        intermediate_size=56,
        hidden_act="gelu",
        layer_norm_eps=1e-6,
    )
    theirs = shake(Siglip(settings))
    ours = from_siglip(theirs, config)
    images = torch.randn(2, 3, 56, 56, generator=generator(1))
    states = theirs(images, output_hidden_states=True).hidden_states
    torch.testing.assert_close(ours(images), states[3], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_gelu_is_exact():
    config = ViTConfig(32, 4, 4, 56, image=56)
    settings = SiglipVisionConfig(
        **SETTINGS,
        intermediate_size=56,
        hidden_act="gelu_pytorch_tanh",
    )
    theirs = shake(Siglip(settings))
    images = torch.randn(1, 3, 56, 56, generator=generator(1))
    states = theirs(images, output_hidden_states=True).hidden_states
    assert (from_siglip(theirs, config)(images) - states[3]).abs().max() > 2e-4


@torch.no_grad()
def test_positions_may_belong_to_the_tokens_in_front_too():
    config = ViTConfig(16, 2, 2, 24, image=28, cls=True, registers=2, no_embed_class=False)
    model = shake(ViT(config))
    images = torch.randn(1, 3, 28, 28, generator=generator(1))
    patches = F.conv2d(images, model.patches.weight, model.patches.bias, stride=14).flatten(2).mT
    wanted = torch.cat([model.cls, model.registers, patches], 1) + model.positions
    assert model.positions.shape == (1, 7, 16)
    torch.testing.assert_close(model.embed(images), wanted)


@torch.no_grad()
def test_film_scales_and_shifts_between_attention_and_mlp():
    config = ViTConfig(16, 2, 2, 24, image=28, layer_scale=True)
    model, film = shake(ViT(config), 1), shake(FiLM(12, config), 2)
    images, words = (
        torch.randn(2, 3, 28, 28, generator=generator(3)),
        torch.randn(2, 12, generator=generator(4)),
    )
    block, x = model.blocks[0], model.embed(images)
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    attention.in_proj_weight.copy_(block.project.weight)
    attention.in_proj_bias.copy_(block.project.bias)
    attention.out_proj.weight.copy_(block.out.weight)
    attention.out_proj.bias.copy_(block.out.bias)
    normed = F.layer_norm(x, (16,), block.norm_attention.weight, block.norm_attention.bias, 1e-6)
    x = x + attention(normed, normed, normed)[0] * block.scale_attention
    gamma = words @ film.scales[0].weight.T + film.scales[0].bias
    beta = words @ film.shifts[0].weight.T + film.shifts[0].bias
    x = x * (1 + gamma[:, None, :]) + beta[:, None, :]
    normed = F.layer_norm(x, (16,), block.norm_mlp.weight, block.norm_mlp.bias, 1e-6)
    hidden = F.gelu(normed @ block.inner.weight.T + block.inner.bias)
    x = x + (hidden @ block.outer.weight.T + block.outer.bias) * block.scale_mlp
    torch.testing.assert_close(model(images, film(words)), x, rtol=1e-4, atol=1e-5)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="multiple of heads"):
        ViTConfig(30, 2, 4, 24)
    with pytest.raises(ValueError, match="two are needed"):
        ViTConfig(32, 1, 4, 24)
    with pytest.raises(ValueError, match=r"not \[B, 3, 28, 28\]"):
        ViT(ViTConfig(16, 2, 2, 24, image=28))(torch.zeros(1, 3, 56, 56))
