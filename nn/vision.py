"""A small convolutional tower, trained from scratch, conditioned on what to look for."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.nn.layers import Conv2d, Linear

PATCH = 4
"""Side of the pixel blocks that the first convolution takes as channels."""


def patchify(images: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 [B, H, W, 3] → [B, 48, H / 4, W / 4] around zero, in the layout that convolutions want."""
    batch, height, width, channels = images.shape
    blocks = images.view(batch, height // PATCH, PATCH, width // PATCH, PATCH, channels)
    blocks = blocks.permute(0, 1, 3, 2, 4, 5).reshape(batch, height // PATCH, width // PATCH, -1)
    return (blocks.to(dtype) * (1 / 64) - 2).permute(0, 3, 1, 2)


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
