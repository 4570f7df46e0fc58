"""The VQ tokenizer against a plain reading of the published layout, written here without its modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from playloop.tokenizers.vq import VQConfig, VQTokenizer

SMALL = VQConfig(height=16, width=24, channels=(8, 16, 16, 24), blocks=2, latent=6, codes=40, groups=4)


@pytest.fixture(scope="module")
def tokenizer():
    made = SMALL.make(3)
    with torch.no_grad():
        for parameter in made.parameters():  # biases and norms of a fresh network hide mistakes
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    return made.double().eval()


class Plain:
    """The network by the published names: a norm is a mean and a variance, a picture grows by repetition."""

    def __init__(self, state, groups):
        self.state, self.groups = state, groups

    def conv(self, name, x, stride=1):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        windows = F.unfold(x, weight.shape[2:], stride=stride)  # [B, C * k * k, L]
        out = torch.einsum("oc,bcl->bol", weight.flatten(1), windows) + bias[:, None]
        side = [(x.shape[2 + k] - weight.shape[2 + k]) // stride + 1 for k in range(2)]
        return out.view(len(x), len(weight), *side)

    def same(self, name, x):
        return self.conv(name, F.pad(x, (1, 1, 1, 1)))

    def act(self, name, x):
        grouped = x.reshape(len(x), self.groups, -1)
        mean, variance = grouped.mean(-1, keepdim=True), grouped.var(-1, keepdim=True, unbiased=False)
        y = ((grouped - mean) / (variance + 1e-6).sqrt()).view(x.shape)
        y = y * self.state[f"{name}.weight"][:, None, None] + self.state[f"{name}.bias"][:, None, None]
        return y * torch.sigmoid(y)

    def resnet(self, name, x):
        y = self.same(f"{name}.conv1", self.act(f"{name}.norm1", x))
        y = self.same(f"{name}.conv2", self.act(f"{name}.norm2", y))
        skip = f"{name}.conv_shortcut"
        return y + (self.conv(skip, x) if f"{skip}.weight" in self.state else x)

    def encoder(self, x):
        x = self.same("encoder.conv_in", x)
        for block in range(4):
            for resnet in range(2):
                x = self.resnet(f"encoder.down_blocks.{block}.resnets.{resnet}", x)
            if block < 3:
                grown = torch.zeros(*x.shape[:2], x.shape[2] + 1, x.shape[3] + 1, dtype=x.dtype)
                grown[:, :, :-1, :-1] = x
                x = self.conv(f"encoder.down_blocks.{block}.downsamplers.0.conv", grown, stride=2)
        for resnet in range(2):
            x = self.resnet(f"encoder.mid_block.resnets.{resnet}", x)
        return self.same("encoder.conv_out", self.act("encoder.conv_norm_out", x))

    def decoder(self, x):
        x = self.same("decoder.conv_in", x)
        for resnet in range(2):
            x = self.resnet(f"decoder.mid_block.resnets.{resnet}", x)
        for block in range(4):
            for resnet in range(3):
                x = self.resnet(f"decoder.up_blocks.{block}.resnets.{resnet}", x)
            if block < 3:
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = self.same(f"decoder.up_blocks.{block}.upsamplers.0.conv", x)
        return self.same("decoder.conv_out", self.act("decoder.conv_norm_out", x))

    def encode(self, images):
        x = (torch.from_numpy(images).double() / 255 - 0.5) / 0.5
        z = self.conv("quant_conv", self.encoder(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        codes = self.state["quantize.embedding.weight"]
        distance = (z[..., None, :] - codes).square().sum(-1)
        return distance.argmin(-1).flatten(1), z.flatten(1, 2)

    def pixels(self, ids, rows, columns):
        z = self.state["quantize.embedding.weight"][ids].view(len(ids), rows, columns, -1)
        return self.decoder(self.conv("post_quant_conv", z.permute(0, 3, 1, 2)))


def test_it_computes_what_the_layout_says(tokenizer):
    plain = Plain(tokenizer.state_dict(), SMALL.groups)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), np.uint8)  # more than go at once
    ids, latents = plain.encode(images)
    with torch.no_grad():
        found = tokenizer.latents(torch.from_numpy(images))
    torch.testing.assert_close(found, latents, rtol=0, atol=1e-5)  # pixels are scaled in float32
    assert torch.equal(tokenizer.encode(torch.from_numpy(images)), ids)
    assert len(ids.unique()) > 3, "the test would not notice a wrong codebook"
    with torch.no_grad():
        assert torch.allclose(tokenizer.pixels(ids), plain.pixels(ids, 2, 3), atol=1e-10)


def test_grey_levels_are_cut_off_not_rounded(tokenizer):
    ids = torch.randint(0, SMALL.codes, (6, 6), generator=torch.Generator().manual_seed(0))
    exact = (Plain(tokenizer.state_dict(), SMALL.groups).pixels(ids, 2, 3).clamp(-1, 1) + 1) / 2 * 255
    lost = exact.permute(0, 2, 3, 1) - tokenizer.decode(ids).double()
    assert lost.min() > -1e-3 and lost.max() < 1 + 1e-3 and (lost > 0.6).any()


def test_the_nearest_code_is_the_nearest():
    vq = VQTokenizer(SMALL)
    latents = torch.randn(2000, SMALL.latent, generator=torch.Generator().manual_seed(2))
    torch.nn.init.normal_(vq.quantize.embedding.weight, generator=torch.Generator().manual_seed(3))
    codes = vq.quantize.embedding.weight.detach().double()
    wanted = torch.cdist(latents.double(), codes).argmin(-1)
    assert torch.equal(vq.quantize.nearest(latents), wanted)


def test_half_precision_keeps_the_surface(tokenizer):
    half = VQTokenizer(SMALL).to(torch.bfloat16)
    half.load_state_dict(tokenizer.state_dict())
    images = torch.randint(0, 256, (2, 16, 24, 3), dtype=torch.uint8)
    ids = half.encode(images)
    assert half.dtype == torch.bfloat16 and ids.dtype == torch.int64 and ids.shape == (2, half.tokens)
    assert half.decode(ids).dtype == torch.uint8 and half.decode(ids).shape == images.shape
    assert (half.rows, half.columns, half.codes) == (2, 3, SMALL.codes)


def test_the_encoding_has_a_name():
    one, other = SMALL.make(1), SMALL.make(1)
    assert one.encoding() == other.encoding() != SMALL.make(2).encoding()
    torch.nn.init.zeros_(other.decoder.conv_in.weight)
    assert one.encoding() == other.encoding()
    torch.nn.init.zeros_(other.quantize.embedding.weight)
    assert one.encoding() != other.encoding()


def test_the_published_size():
    with torch.device("meta"):
        vq = VQTokenizer(VQConfig())
    count = lambda part: sum(value.numel() for value in part.parameters())  # noqa: E731
    assert round(count(vq) / 1e6, 1) == 146.2 and (vq.rows, vq.columns) == (14, 24)
    assert [round(count(part) / 1e6, 1) for part in (vq.encoder, vq.decoder)] == [58.7, 87.0]
    names = list(vq.state_dict())
    assert len(names) == len(list(vq.parameters())), "the published files hold parameters alone"
    found = sorted({name.rsplit(".", 1)[0] for name in names if "conv_shortcut" in name})
    down = [f"encoder.down_blocks.{k}.resnets.0.conv_shortcut" for k in (1, 3, 4)]
    assert found == [f"decoder.up_blocks.{k}.resnets.0.conv_shortcut" for k in (1, 2, 4)] + down
    assert "quantize.embedding.weight" in names and not [name for name in names if "attentions" in name]


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="squares of 8"):
        VQConfig(height=20, width=24, channels=(8, 8, 8, 8), groups=4).make()
    with pytest.raises(ValueError, match="multiples of groups"):
        VQConfig(height=16, width=24, channels=(8, 10), groups=4).make()
    with pytest.raises(ValueError, match="resize"):
        SMALL.make().encode(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))
