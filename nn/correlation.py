"""Where has each part of a picture gone? Features of one frame are compared with those around in another."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def correlate(a: Tensor, b: Tensor, reach: int, stride: int = 1) -> Tensor:
    """Products of the features at positions of `a` with those of `b` up to `reach` positions away.

    Args:
        a: [B, C, H, W].
        b: [B, C, H, W].
        reach: rows and columns in each direction.
        stride: every so many rows and columns of `a` are compared, with all of `b`.

    Returns:
        [B, (2 * reach + 1)², H / stride, W / stride], divided by the square root of C; entry (i, j) in raster
        order is of b at (row + i - reach, column + j - reach), 0 where that lies outside.
    """
    a = a[:, :, ::stride, ::stride] * a.shape[1] ** -0.5
    batch, _, rows, columns = a.shape
    side = 2 * reach + 1
    padded = F.pad(b, (reach,) * 4)
    area, wide = padded.shape[2] * padded.shape[3], padded.shape[3]
    # One product of matrices compares all positions with all; a view then picks the near ones of each.
    every = a.flatten(2).transpose(1, 2) @ padded.flatten(2)  # [B, rows * columns, area]
    down, right = columns * area + stride * wide, area + stride
    shape = (batch, side, side, rows, columns)
    return every.as_strided(shape, (rows * columns * area, wide, 1, down, right)).flatten(1, 2)
