"""The one way from a recording's frame to the size that a model of pictures reads."""

from __future__ import annotations

import numpy as np
from PIL import Image

from playloop.policies.images import shrink


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 [H, W, 3] as [height, width, 3]; the whole image, its aspect ratio not kept.

    Whole fractions are means of pixel blocks (`shrink`), so that small frames drawn by a simulator and
    shrunk recordings of it are the same bytes. Any other size is Pillow's bilinear filter, which spans all
    pixels that become one: without that, small turns of the view would flicker.
    """
    height, width = image.shape[:2]
    if height % size[0] == 0 and height * size[1] == width * size[0]:
        return shrink(image, size)
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
