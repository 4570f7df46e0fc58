"""Single pictures from files of others, read as viewers show them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps


def upright(image: Image.Image) -> Image.Image:
    """A picture turned as its EXIF says, with grey values of 16 bits as 8."""
    turned = ImageOps.exif_transpose(image)
    if not turned.mode.startswith("I"):
        return turned
    wide = np.asarray(turned).astype(np.int64).clip(0, 65535)  # Pillow's conversion cuts them off at 255
    return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
