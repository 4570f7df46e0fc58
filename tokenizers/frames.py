"""Frames as a grid of tokens and back: a small convolutional autoencoder around scalar quantisation."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated

import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor, nn

from playloop.core.annotations import Counts, Fraction
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.building import Sizes, check_squares
from playloop.nn.layers import Conv2d, Residual

Side = Annotated[int, Ge(1), Le(4096)]
"""Pixels of a frame: no weight of a convolution tells how many there are, and memory grows with them."""
Levels = Annotated[int, Ge(2), Le(4096)]
"""Values that a quantiser rounds a number to."""
Blocks = Annotated[int, Ge(0), Le(1024)]
"""Residual blocks of one resolution."""
MOST_CODES = 2**20

PATCH = 4
"""Side of the pixel blocks that become channels before the first convolution."""


@kind("fsq-frames")
@checked
class FrameTokenizerConfig(Sizes["FrameTokenizer"]):
    """Sizes of a frame tokenizer, and what it is trained for.

    Args:
        height: of a frame, in pixels.
        width: of a frame.
        channels: at a quarter of the resolution, at an eighth, …; a token covers 4 · 2^(n-1) pixels square.
        blocks: residual blocks at each resolution, on either side.
        levels: of the quantiser; their product is the number of codes.
        perturbed: share of the training images whose codes are disturbed.
        disturbance: largest share of their codes that a neighbour replaces, so that a world model's small
            mistakes decode to small mistakes (arXiv 2503.08354).
    """

    height: Side = 64
    width: Side = 64
    channels: Counts = (48, 128)
    blocks: tuple[Blocks, ...] = (1, 3)
    levels: Annotated[tuple[Levels, ...], MinLen(1)] = (8, 5, 5, 5)
    perturbed: Fraction = 0.2
    disturbance: Fraction = 0.25

    @property
    def side(self) -> int:
        """Pixels that a token covers, in each direction."""
        return PATCH * 2 ** (len(self.channels) - 1)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.height // self.side, self.width // self.side

    @property
    def codes(self) -> int:
        """Number of ids."""
        return math.prod(self.levels)

    def check(self) -> None:
        check_squares(self.height, self.width, self.side)
        if self.codes > MOST_CODES:
            raise ValueError(f"the product of levels={self.levels} must be at most {MOST_CODES:,}")
        if len(self.blocks) != len(self.channels):
            raise ValueError(f"channels={self.channels} and blocks={self.blocks} differ in length")

    def build(self) -> FrameTokenizer:
        return FrameTokenizer(self)


class FSQ(nn.Module):
    """Finite scalar quantisation (arXiv 2309.15505): `len(levels)` numbers, each rounded to one of its
    levels, ↔ ids below the product of the levels. No codebook is learned.

    Args:
        levels: of each number, at least 2.
    """

    levels: Tensor
    base: Tensor

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        if min(levels, default=0) < 2:
            raise ValueError(f"levels={levels}: give at least one number, each with 2 levels or more")
        self.size, self.codes = len(levels), math.prod(levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        bases = torch.tensor([math.prod(levels[:index]) for index in range(len(levels))])
        self.register_buffer("base", bases, persistent=False)

    def bound(self, z: Tensor) -> Tensor:
        """Any numbers [..., S] → numbers whose rounding is one of the levels, 0 … levels - 1."""
        top = (self.levels - 1).to(z.dtype)
        return (torch.tanh(z) + 1) / 2 * top

    def quantize(self, z: Tensor) -> Tensor:
        """Numbers [..., S] → levels as float; the gradient passes as if nothing had been rounded."""
        bounded = self.bound(z.float())
        return bounded + (bounded.round() - bounded).detach()

    def center(self, digits: Tensor) -> Tensor:
        """Levels [..., S] → what a decoder reads, in [-1, 1]."""
        return 2 * digits / (self.levels - 1) - 1

    def ids(self, digits: Tensor) -> Tensor:
        """Levels [..., S] → ids int64 [...]."""
        return (digits.round().long() * self.base).sum(-1)

    def digits(self, ids: Tensor) -> Tensor:
        """The inverse of `ids`: int64 [..., S]."""
        return ids[..., None] // self.base % self.levels

    def neighbours(self, digits: Tensor, generator: torch.Generator) -> Tensor:
        """Levels [..., S] with one number each moved by one level: the codes nearest to them."""
        shape, device = digits.shape[:-1], digits.device
        index = torch.randint(self.size, shape, generator=generator, device=device)
        up = torch.randint(2, shape, generator=generator, device=device) * 2 - 1
        moved = torch.zeros_like(digits).scatter_(-1, index[..., None], up[..., None].to(digits.dtype))
        # At an end there is one neighbour only.
        stepped = digits + moved
        inside = (stepped >= 0) & (stepped <= self.levels - 1)
        return torch.where(inside, stepped, digits - moved)


class FrameTokenizer(nn.Module):
    """uint8 frames ↔ ids, in raster order; `decode` inverts `encode` as far as the codes reach.

    It has no norms: an autoencoder keeps the scale that it is given.
    """

    def __init__(self, config: FrameTokenizerConfig):
        super().__init__()
        self.config, self.fsq = config, FSQ(config.levels)
        self.rows, self.columns = config.grid
        channels, blocks = config.channels, config.blocks
        down: list[nn.Module] = [Conv2d(3 * PATCH**2, channels[0], 1)]
        up: list[nn.Module] = [Conv2d(self.fsq.size, channels[-1], 3, padding=1)]
        for depth, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            if depth:
                down.append(Conv2d(channels[depth - 1], width, 2, stride=2))
            down += [Residual(width) for _ in range(count)]
        for depth in reversed(range(len(channels))):
            up += [Residual(channels[depth]) for _ in range(blocks[depth])]
            if depth:
                up += [Conv2d(channels[depth], 4 * channels[depth - 1], 1), nn.PixelShuffle(2)]
        self.encoder = nn.Sequential(*down, Conv2d(channels[-1], self.fsq.size, 1))
        self.decoder = nn.Sequential(*up, Conv2d(channels[0], 3 * PATCH**2, 1), nn.PixelShuffle(PATCH))

    @property
    def codes(self) -> int:
        """Number of ids."""
        return self.fsq.codes

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in."""
        return next(self.parameters()).dtype

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.columns

    def encoding(self) -> str:
        """A name for what `encode` does: two tokenizers with other decoders alone share it."""
        digest = hashlib.sha256(str((self.config.height, self.config.width, self.config.levels)).encode())
        for value in self.encoder.state_dict().values():
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] → int64 [B, N]."""
        return self.fsq.ids(self.fsq.bound(self.latents(images).float())).flatten(1)

    @torch.inference_mode()
    def decode(self, ids: Tensor) -> Tensor:
        """int64 [B, N] → uint8 [B, H, W, 3]."""
        digits = self.fsq.digits(ids).unflatten(1, (self.rows, self.columns))
        pixels = self._pixels(self.fsq.center(digits))  # [B, 3, H, W]
        return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def loss(
        self, batch: dict[str, Tensor], generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruction error of "images" uint8 [B, H, W, 3].

        Where the batch has "ids" int64 [B, N], which a world model made of what came before the images, the
        decoder alone learns, to make the true images of them.

        Returns:
            The loss; metrics: PSNR in dB of whole frames, PSNR of frames of which some codes were disturbed,
            and how many of the codes are in use.
        """
        images = batch["images"]
        if "ids" in batch:
            return self._loss_of_generated(images, batch["ids"], dtype)
        target = images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
        digits = self.fsq.quantize(self.latents(images, dtype))
        share = self._shares(len(images), generator, images.device)
        moved = self.fsq.neighbours(digits.detach(), generator)
        replaced = torch.rand(digits.shape[:-1], generator=generator, device=images.device) < share
        seen = torch.where(replaced[..., None], moved, digits)
        error = self._pixels(self.fsq.center(seen), dtype).float() - target
        whole = share[:, 0, 0] == 0
        metrics = {"psnr": psnr(error[whole]), "psnr_disturbed": psnr(error[~whole])}
        used = len(self.fsq.ids(digits.detach()).unique()) / self.codes
        metrics["codes_in_batch"] = torch.tensor(used, device=images.device)  # summed with the others there
        return error.abs().mean() + 2 * error.square().mean(), metrics

    def _loss_of_generated(
        self, images: Tensor, ids: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, dict[str, Tensor]]:
        target = images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
        digits = self.fsq.digits(ids).unflatten(1, (self.rows, self.columns))
        error = self._pixels(self.fsq.center(digits), dtype).float() - target
        return error.abs().mean() + 2 * error.square().mean(), {"psnr_generated": psnr(error)}

    def _shares(self, batch: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """The share of each image's codes that is disturbed, [B, 1, 1]; at least one image has none."""
        chosen = torch.rand(batch, generator=generator, device=device) < self.config.perturbed
        chosen[0] = False
        share = torch.rand(batch, generator=generator, device=device) * self.config.disturbance
        return torch.where(chosen, share, 0.0)[:, None, None]

    def latents(self, images: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """uint8 [B, H, W, 3] → [B, rows, columns, S], not yet bounded."""
        b, h, w, c = images.shape
        if (h, w, c) != (self.config.height, self.config.width, 3):
            raise ValueError(
                f"frames are {h} x {w} x {c}, this tokenizer was made for {self.config.height} x "
                f"{self.config.width} x 3; resize them first"
            )
        blocks = images.view(b, h // PATCH, PATCH, w // PATCH, PATCH, c).permute(0, 1, 3, 5, 2, 4)
        x = blocks.reshape(b, h // PATCH, w // PATCH, -1).permute(0, 3, 1, 2)  # channels last in memory
        x = x.to(dtype or self.dtype) * (1 / 64) - 2
        return self.encoder(x).permute(0, 2, 3, 1)

    def _pixels(self, centers: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """What the quantiser gives, [B, rows, columns, S] → [B, 3, H, W] in about [-1, 1]."""
        return self.decoder(centers.to(dtype or self.dtype).permute(0, 3, 1, 2))


def psnr(error: Tensor) -> Tensor:
    """Mean PSNR in dB of images [B, ...] on a scale from -1 to 1; not a number if there is none."""
    return (10 * torch.log10(4 / error.detach().flatten(1).square().mean(1).clamp_min(1e-10))).mean()
