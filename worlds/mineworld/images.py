"""The one way from a recording's picture to the size that a MineWorld reads."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


def resize_linear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 [H, W, 3] as [height, width, 3], as OpenCV's INTER_LINEAR up to one grey level.

    The release shrinks 640 x 360 so, without the smoothing of `core.images.resize`: its tokens are those of
    such pixels.
    """
    if image.shape[:2] == size:
        return image
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    scaled = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
    return scaled[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
