"""FiLM's file against a plain module tree with the names of OFT's wrapper, PEFT's layers and timm's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from openvla_tiny import TOWERS, generator, inputs_of
from torch import nn

from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.describe import describe
from playloop.policies.openvla.files import read_openvla
from playloop.policies.openvla.names import adapted_unused, vision_adapted
from playloop.policies.openvla.synthetic import write_synthetic

RANK, SCALE = 32, 0.5  # OFT's: alpha 16
FILE = "vision_backbone--150000_checkpoint.pt"


class Adapted(nn.Module):
    """PEFT's names: a layer and two more beside it."""

    def __init__(self, layer, down, up):
        super().__init__()
        self.base_layer = layer
        self.lora_A, self.lora_B = nn.ModuleDict({"default": down}), nn.ModuleDict({"default": up})

    def forward(self, x):
        return self.base_layer(x) + SCALE * self.lora_B["default"](self.lora_A["default"](x))


def linear(columns, rows):
    down, up = nn.Linear(columns, RANK, bias=False), nn.Linear(RANK, rows, bias=False)
    return Adapted(nn.Linear(columns, rows), down, up)


def convolution(width, patch):
    """PEFT 0.11.1 takes "all-linear" by the ends of names, so `patch_embed.proj` goes with `attn.proj`."""
    down, up = nn.Conv2d(3, RANK, patch, patch, bias=False), nn.Conv2d(RANK, width, 1, bias=False)
    return Adapted(nn.Conv2d(3, width, patch, patch), down, up)


def named(**children):
    module = nn.Module()
    for name, child in children.items():
        setattr(module, name, child)
    return module


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, self.heads = config.width, config.heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = named(qkv=linear(width, 3 * width), proj=linear(width, width))
        self.mlp = named(fc1=linear(width, config.hidden), fc2=linear(config.hidden, width))
        if config.layer_scale:
            self.ls1 = named(scale_factor=nn.Parameter(torch.ones(width)))
            self.ls2 = named(scale_factor=nn.Parameter(torch.ones(width)))

    def scaled(self, x, name):
        return x * getattr(self, name).scale_factor if hasattr(self, name) else x

    def attend(self, x):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.attn.qkv(x).chunk(3, -1)
        )
        mixed = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v
        return self.attn.proj(mixed.transpose(1, 2).flatten(2))


class Wrapped(nn.Module):
    def __init__(self, config, words):
        super().__init__()
        self.block = Block(config)
        self.scale, self.shift = nn.Linear(words, config.width), nn.Linear(words, config.width)

    def forward(self, x, words):
        block = self.block
        x = x + block.scaled(block.attend(block.norm1(x)), "ls1")
        x = (1 + self.scale(words)[:, None]) * x + self.shift(words)[:, None]
        return x + block.scaled(block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x)))), "ls2")


class Tower(nn.Module):
    def __init__(self, config, words):
        super().__init__()
        width, hidden = config.width, config.hidden
        self.patch_embed = named(proj=convolution(width, config.patch))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.patches, width))
        if config.cls:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
            self.reg_token = nn.Parameter(torch.zeros(1, config.registers, width))
        else:
            mlp = named(fc1=linear(width, hidden), fc2=linear(hidden, width))
            query = {"latent": nn.Parameter(torch.zeros(1, 1, width)), "q": linear(width, width)}
            rest = {"kv": linear(width, 2 * width), "proj": linear(width, width)}
            self.attn_pool = named(**query, **rest, norm=nn.LayerNorm(width), mlp=mlp)
        self.blocks = nn.Sequential(*(Wrapped(config, words) for _ in range(config.blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, images, words):
        x = self.patch_embed.proj(images).flatten(2).mT + self.pos_embed
        front = [self.cls_token, self.reg_token] if hasattr(self, "cls_token") else []
        count = sum(token.shape[1] for token in front)
        x = torch.cat([*(token.expand(len(x), -1, -1) for token in front), x], 1)
        for block in self.blocks[:-1]:
            x = block(x, words)
        return x[:, count:]


def backbone(width):
    featurizer, fused = (Tower(tower, width) for tower in TOWERS)
    return named(vision_backbone=named(featurizer=featurizer, fused_featurizer=fused))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "base"
    return write_synthetic(path, 3, "diffusion", towers=TOWERS, dtype=torch.float32, film=True)


def features(reference, model, images, prompt):
    """By the reference's towers, each prompt's words in their mean; the projector is ours."""
    rows = [F.embedding(torch.cat([ids, ids.new_tensor([2])]), model.table.weight).mean(0) for ids in prompt]
    words = torch.stack(rows).repeat_interleave(model.config.images, 0)
    flat, towers = images.flatten(0, 1), reference.vision_backbone
    seen = towers.featurizer(flat[:, :3], words), towers.fused_featurizer(flat[:, 3:], words)
    return model.projector(torch.cat(seen, -1)).view(len(images), -1, model.config.llama.width)


@torch.no_grad()
def test_oft_s_strict_loading_takes_our_file_and_computes_the_same(folder):
    model = read_openvla(folder, dtype=torch.float32)
    reference = backbone(model.config.llama.width)
    reference.load_state_dict(torch.load(folder / FILE, weights_only=True))
    images, _, prompt = inputs_of(model.config)
    wanted = features(reference, model, images, prompt)
    torch.testing.assert_close(model.see(images, prompt), wanted, rtol=1e-4, atol=1e-4)
    factors = {name: value for name, value in reference.state_dict().items() if ".lora_" in name}
    assert all((value == 0).all() == ("lora_B" in name) for name, value in factors.items())


@torch.no_grad()
def test_a_file_saved_from_inside_peft_is_read_with_all_its_factors(folder, tmp_path):
    model = read_openvla(folder, dtype=torch.float32)
    reference = backbone(model.config.llama.width)
    reference.load_state_dict(torch.load(folder / FILE, weights_only=True))
    noise = generator(4)
    for name, value in reference.named_parameters():
        if "lora_B" in name:
            value.copy_(0.3 * torch.randn(value.shape, generator=noise))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).symlink_to(path)
    (copy / FILE).unlink()
    torch.save(reference.state_dict(), copy / FILE)
    images, _, prompt = inputs_of(model.config)
    wanted = features(reference, model, images, prompt)
    found = read_openvla(copy, dtype=torch.float32).see(images, prompt)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    assert (found - model.see(images, prompt)).abs().max() > 0.1
    conv = reference.vision_backbone.featurizer.patch_embed.proj
    conv.lora_B["default"].weight.zero_()
    torch.save(reference.state_dict(), copy / FILE)
    assert not torch.allclose(read_openvla(copy, dtype=torch.float32).see(images, prompt), found, atol=1e-2)


def test_adapters_of_wrapped_blocks_have_the_names_of_oft_s_run(folder):
    """PEFT saves the factors of the whole model by the names that they have when it is saved."""
    config, root = read_openvla(folder).config, named(vision_backbone=backbone(32))
    theirs = {name.rpartition(".lora_A")[0] for name in root.state_dict() if ".lora_A" in name}
    ours = {name.removesuffix(".weight") for name in vision_adapted(config) if name.endswith("weight")}
    unused = {name.removesuffix(".weight") for name in adapted_unused(config)}
    layer = "vision_backbone.vision_backbone.featurizer.blocks.1.block.attn.qkv"
    assert layer in ours & theirs and theirs <= ours | unused
    assert not any(name.endswith((".scale", ".shift")) for name in ours)
    assert "vision_backbone.featurizer.blocks.1.attn.qkv.weight" in vision_adapted(OpenVLAConfig())


def test_inspect_says_film(folder):
    lines = dict(describe(folder))
    assert lines["instruction"] == "prompt and FiLM" and FILE in lines["vision_backbone"]
