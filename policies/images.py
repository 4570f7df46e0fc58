"""The one way from a simulator's image to the policy's: shared by recording, training and serving."""

from __future__ import annotations

import numpy as np


def shrink(images: np.ndarray, size: int) -> np.ndarray:
    """Mean over pixel blocks, uint8 [..., H, W, 3] → [..., size, size, 3]; integers, so the same everywhere.

    Raises:
        ValueError: if the side is not a multiple of `size`.
    """
    height, width = images.shape[-3:-1]
    if images.dtype != np.uint8 or height != width or height % size:
        raise ValueError(
            f"images must be square uint8, their side a multiple of {size}, got {images.dtype} {images.shape}"
        )
    factor = height // size
    if factor == 1:
        return images
    # Strided sums are several times faster than a reshape with two reduced axes.
    total = np.zeros((*images.shape[:-3], size, size, 3), np.uint16 if factor <= 16 else np.uint32)
    for row in range(factor):
        for column in range(factor):
            total += images[..., row::factor, column::factor, :]
    area = factor * factor
    return ((total + area // 2) // area).astype(np.uint8)
