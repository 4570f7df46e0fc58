"""Frames as a grid of codes and back: the VQ autoencoder of aMUSEd (arXiv 2401.01808), which MineWorld uses.

Parameters have the names of the published files, so that loading needs no table. The encoder halves the
picture between its blocks with a convolution that is padded on the right and at the bottom alone, the decoder
repeats pixels; there is no attention.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.annotations import Count, Counts
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.building import Sizes, check_squares
from playloop.nn.layers import Conv2d
from playloop.nn.slots import Slot
from playloop.tokenizers.frames import Blocks, Side

AT_ONCE = 4
"""Frames that are encoded or decoded together: at 384 x 224 each takes some 100 MB in every layer."""


@kind("vq")
@checked
class VQConfig(Sizes["VQTokenizer"]):
    """Sizes of a VQ autoencoder; the defaults are MineWorld's, 146.2 M parameters.

    Args:
        height: of a frame, in pixels.
        width: of a frame.
        channels: at the full resolution, at half of it, …
        blocks: residual blocks at each resolution of the encoder; the decoder has one more.
        latent: channels of a code.
        codes: size of the codebook.
        groups: of channels that are normalised together.
    """

    height: Side = 224
    width: Side = 384
    channels: Counts = (128, 256, 256, 512, 768)
    blocks: Blocks = 2
    latent: Count = 64
    codes: Count = 8192
    groups: Count = 32

    @property
    def side(self) -> int:
        """Pixels that a token covers, in each direction."""
        return 2 ** (len(self.channels) - 1)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.height // self.side, self.width // self.side

    def check(self) -> None:
        check_squares(self.height, self.width, self.side)
        if any(width % self.groups for width in self.channels):
            raise ValueError(f"channels={self.channels} must be multiples of groups={self.groups}")

    def build(self) -> VQTokenizer:
        return VQTokenizer(self)


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` that computes in its input's type (its sums are float32 inside)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class ResnetBlock(nn.Module):
    """Two convolutions, each behind a norm and SiLU, added to the stream [B, C, H, W]."""

    def __init__(self, incoming: int, channels: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, incoming, eps=1e-6)
        self.conv1 = Conv2d(incoming, channels, 3, padding=1)
        self.norm2 = GroupNorm(groups, channels, eps=1e-6)
        self.conv2 = Conv2d(channels, channels, 3, padding=1)
        self.conv_shortcut = None if incoming == channels else Conv2d(incoming, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return inner + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Downsampler(nn.Module):
    """Half the resolution; zeros are added on the right and at the bottom alone."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsampler(nn.Module):
    """Twice the resolution: every pixel four times, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The residual blocks of one resolution, and what leads to the next one if there is one."""

    def __init__(self, widths: list[int], groups: int, change: type[nn.Module] | None = None, name: str = ""):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(*pair, groups) for pair in pairwise(widths))
        self.change = name if change else None
        if change:
            self.add_module(name, nn.ModuleList([change(widths[-1])]))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resnets:
            x = block(x)
        return self.get_submodule(f"{self.change}.0")(x) if self.change else x


class Half(nn.Module):
    """An encoder or a decoder: convolution, levels and two more blocks, norm, convolution.

    Args:
        config: sizes.
        decodes: the decoder has its two blocks before the levels and one block more in each of them.
    """

    def __init__(self, config: VQConfig, decodes: bool):
        super().__init__()
        channels = config.channels[::-1] if decodes else config.channels
        ends = (config.latent, 3) if decodes else (3, config.latent)
        count, last = config.blocks + decodes, len(channels) - 1
        change: type[nn.Module] = Upsampler if decodes else Downsampler
        name = "upsamplers" if decodes else "downsamplers"
        self.decodes = decodes
        self.conv_in = Conv2d(ends[0], channels[0], 3, padding=1)
        levels = (
            Level([before, *[width] * count], config.groups, change if depth < last else None, name)
            for depth, (before, width) in enumerate(zip((channels[0], *channels), channels, strict=False))
        )
        self.add_module("up_blocks" if decodes else "down_blocks", nn.ModuleList(levels))
        self.mid_block = Level([config.channels[-1]] * 3, config.groups)
        self.conv_norm_out = GroupNorm(config.groups, channels[-1], eps=1e-6)
        self.conv_out = Conv2d(channels[-1], ends[1], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [*self.get_submodule("up_blocks" if self.decodes else "down_blocks").children()]
        x = self.conv_in(x)
        for level in [self.mid_block, *levels] if self.decodes else [*levels, self.mid_block]:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Quantizer(nn.Module):
    """The codebook."""

    def __init__(self, config: VQConfig):
        super().__init__()
        self.embedding = nn.Embedding(config.codes, config.latent)
        nn.init.uniform_(self.embedding.weight, -1 / config.codes, 1 / config.codes)

    def nearest(self, latents: Tensor) -> Tensor:
        """Latents [..., S] → ids int64 [...] of the codes at the least Euclidean distance.

        In float32 whatever the weights are kept in: half precision cannot tell near codes apart. The latents'
        own squares are left out, they are the same for all codes.
        """
        codes = self.embedding.weight.float()
        products = latents.float() @ codes.T
        return (codes.square().sum(-1) - 2 * products).argmin(-1)


class VQTokenizer(nn.Module):
    """uint8 frames ↔ ids, in raster order; the same public surface as `FrameTokenizer`."""

    def __init__(self, config: VQConfig):
        super().__init__()
        self.config, (self.rows, self.columns) = config, config.grid
        self.encoder, self.decoder = Half(config, False), Half(config, True)
        self.quant_conv = Conv2d(config.latent, config.latent, 1)
        self.quantize = Quantizer(config)
        self.post_quant_conv = Conv2d(config.latent, config.latent, 1)

    @property
    def codes(self) -> int:
        """Number of ids."""
        return self.config.codes

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in, and what is computed in."""
        return self.quant_conv.weight.dtype

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.columns

    def slots(self) -> dict[str, Slot]:
        """The published names of all weights → their slots here."""
        return {name: Slot(name) for name, _ in self.named_parameters()}

    def encoding(self) -> str:
        """A name for what `encode` does: two tokenizers with other decoders alone share it."""
        digest = hashlib.sha256(str((self.config.height, self.config.width)).encode())
        for part in (self.encoder, self.quant_conv, self.quantize):
            for value in part.state_dict().values():
                digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] → int64 [B, N].

        Raises:
            ValueError: the frames have another size.
        """
        wanted = (self.config.height, self.config.width, 3)
        if (found := tuple(images.shape[1:])) != wanted:
            raise ValueError(f"frames are {found}, this tokenizer was made for {wanted}; resize them first")
        return torch.cat([self.quantize.nearest(self.latents(part)) for part in images.split(AT_ONCE)])

    def latents(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] → [B, N, S], before the codebook."""
        pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1  # [B, 3, H, W] in [-1, 1]
        return self.quant_conv(self.encoder(pixels.to(self.dtype))).flatten(2).transpose(1, 2)

    @torch.inference_mode()
    def decode(self, ids: Tensor) -> Tensor:
        """int64 [B, N] → uint8 [B, H, W, 3].

        As in the release, the fraction of a grey level is cut off, not rounded.
        """
        return torch.cat([self._decode(part) for part in ids.split(AT_ONCE)])

    def _decode(self, ids: Tensor) -> Tensor:
        pixels = self.pixels(ids).float().clamp(-1, 1)
        return ((pixels + 1) / 2 * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def pixels(self, ids: Tensor) -> Tensor:
        """int64 [B, N] → [B, 3, H, W] in about [-1, 1]."""
        codes = F.embedding(ids, self.quantize.embedding.weight).transpose(1, 2)  # [B, S, N]
        return self.decoder(self.post_quant_conv(codes.unflatten(2, (self.rows, self.columns))))


def resize_linear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 [H, W, 3] as [height, width, 3], as OpenCV's INTER_LINEAR up to one grey level.

    MineWorld's release shrinks 640 x 360 so, without the smoothing of `core.images.resize`: its tokens are
    those of such pixels.
    """
    if image.shape[:2] == size:
        return image
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    scaled = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
    return scaled[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
