"""Shrink images in integers: training and serving share these bits."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Pixels = TypeVar("Pixels", np.ndarray, torch.Tensor)


def downsample(images: Pixels, factor: int) -> Pixels:
    """The mean of every block, rounded half up: uint8 [..., H, W, 3] → [..., H/factor, W/factor, 3].

    Integer arithmetic only, so NumPy and torch, CPU and GPU give the same bytes.

    Raises:
        ValueError: if the factor does not divide the size.
    """
    if factor == 1:
        return images
    height, width = images.shape[-3], images.shape[-2]
    if height % factor or width % factor or factor < 1:
        raise ValueError(
            f"An image of {height}×{width} cannot be shrunk by {factor}; choose a divisor of both."
        )
    area = factor * factor
    blocks = [(row, column) for row in range(factor) for column in range(factor)]
    # Strided sums: an order of magnitude faster than reshaping to blocks and reducing short axes.
    if isinstance(images, torch.Tensor):
        wide = images.to(torch.int32)
        total = torch.stack([wide[..., row::factor, column::factor, :] for row, column in blocks]).sum(0)
        return ((total + area // 2) // area).to(torch.uint8)
    mean = np.full((*images.shape[:-3], height // factor, width // factor, 3), area // 2, _sum_type(factor))
    for row, column in blocks:
        mean += images[..., row::factor, column::factor, :]
    mean //= area
    return mean.astype(np.uint8)


def _sum_type(factor: int) -> type[np.unsignedinteger]:
    return np.uint16 if factor <= 16 else np.uint32
