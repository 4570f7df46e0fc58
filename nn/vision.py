"""Images as patches, changed at random in training, and a small convolutional tower over them."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.annotations import Fraction, Magnitude, Natural
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.layers import Conv2d, Linear

PATCH = 4
"""Side of the pixel blocks that the first convolution takes as channels."""


def patchify(images: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 [B, H, W, 3] → [B, 48, H / 4, W / 4] around zero, in the layout that convolutions want."""
    batch, height, width, channels = images.shape
    blocks = images.view(batch, height // PATCH, PATCH, width // PATCH, PATCH, channels)
    blocks = blocks.permute(0, 1, 3, 2, 4, 5).reshape(batch, height // PATCH, width // PATCH, -1)
    return (blocks.to(dtype) * (1 / 64) - 2).permute(0, 3, 1, 2)


@kind("augmentation")
@checked
class Augmentation:
    """Random changes to training images: brightness, contrast and shift, drawn for every image.

    Shifts move in whole 4-pixel patches and default to 0: with fixed cameras where an object is in the
    image is what the policy must read, and a shift makes that label wrong by centimetres.

    Args:
        brightness: largest offset, as a share of the full range.
        contrast: largest relative change.
        shift: largest shift in patches, the edge repeated.
    """

    brightness: Fraction = 0.1
    contrast: Magnitude = 0.15
    shift: Natural = 0

    def __call__(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        """Patches [B, C, h, w], in a range 4 wide around zero."""
        shape = (len(patches), 1, 1, 1)

        def uniform(limit: float) -> Tensor:
            numbers = torch.rand(shape, generator=generator, device=patches.device)
            return (limit * (2 * numbers - 1)).to(patches.dtype)

        if self.brightness or self.contrast:
            patches = torch.addcmul(uniform(4 * self.brightness), patches, 1 + uniform(self.contrast))
        return self._shift(patches, generator) if self.shift else patches

    def _shift(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        rows, _, height, width = patches.shape
        shape, device = (2, rows, 1), patches.device
        offset = torch.randint(-self.shift, self.shift + 1, shape, generator=generator, device=device)
        down = (torch.arange(height, device=device) + offset[0]).clamp(0, height - 1)  # [B, h]
        right = (torch.arange(width, device=device) + offset[1]).clamp(0, width - 1)
        index = torch.arange(rows, device=device)[:, None, None]
        moved = patches.permute(0, 2, 3, 1)[index, down[:, :, None], right[:, None, :]]
        return moved.permute(0, 3, 1, 2)


class FilmBlock(nn.Module):
    """Two convolutions on a normalised, instruction-conditioned copy of the stream."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.film = Linear(condition, 2 * channels)
        self.inner = Conv2d(channels, channels, 3, padding=1)
        self.outer = Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        with torch.no_grad():
            self.outer.weight.mul_(0.2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, None, None].chunk(2, dim=-1)  # [B, 1, 1, C]
        h = F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2])  # [B, H, W, C], a view of the memory as it lies
        h = torch.addcmul(shift, h, 1 + scale).permute(0, 3, 1, 2)
        return x + self.outer(F.relu(self.inner(h)))


class Keypoints(nn.Module):
    """Soft positions of learned features: where each heat map's mass lies, in [-1, 1]."""

    def __init__(self, channels: int, points: int):
        super().__init__()
        self.heat = Conv2d(channels, points, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, 2 * points]."""
        height, width = x.shape[2:]
        mass = self.heat(x).float().flatten(2).softmax(-1).unflatten(-1, (height, width))  # [B, points, H, W]
        rows = mass.sum(3) @ torch.linspace(-1, 1, height, device=x.device)
        columns = mass.sum(2) @ torch.linspace(-1, 1, width, device=x.device)
        return torch.cat([rows, columns], dim=-1)


class Tower(nn.Module):
    """Image → grid of features and soft keypoints, both conditioned on the instruction.

    Args:
        channels: width of each stage; the first works on H / 4, each further one on half of the one before.
        blocks: residual blocks in each stage.
        condition: size of the conditioning vector.
        points: keypoints, read from the stage before the last.
    """

    def __init__(self, channels: tuple[int, ...], blocks: tuple[int, ...], condition: int, points: int):
        super().__init__()
        if len(channels) != len(blocks) or len(channels) < 2:
            raise ValueError(
                f"a tower needs a block count for each of ≥ 2 stages, got {channels} and {blocks}"
            )
        sizes_in = (3 * PATCH**2, *channels[:-1])
        self.entries = nn.ModuleList(
            Conv2d(size_in, size_out, 3, stride=1 if index == 0 else 2, padding=1)
            for index, (size_in, size_out) in enumerate(zip(sizes_in, channels, strict=True))
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(FilmBlock(width, condition) for _ in range(count))
            for width, count in zip(channels, blocks, strict=True)
        )
        self.keypoints = Keypoints(channels[-2], points)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Patches [B, 48, H / 4, W / 4], condition [B, E] → grid [B, C, h, w], keypoints [B, 2 * points]."""
        points = x
        for index, (entry, stage) in enumerate(zip(self.entries, self.stages, strict=True)):
            x = entry(x)
            for block in cast(nn.ModuleList, stage):
                x = block(x, condition)
            if index == len(self.stages) - 2:
                points = self.keypoints(x)
        return x, points
