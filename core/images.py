"""Images on their way to a policy: those of simulators, the same everywhere, and those of files."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps


def shrink(images: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Mean over pixel blocks, rounded half up: uint8 [..., H, W, 3] → [..., height, width, 3].

    Integer arithmetic only, so that every machine gives the same bytes.

    Args:
        images: as they were drawn.
        size: height and width, or one number for both; the same whole fraction of H and W.

    Raises:
        ValueError: if it is no whole fraction, or the images are not uint8.
    """
    height, width = (size, size) if isinstance(size, int) else size
    factor = images.shape[-3] // height if height > 0 else 0
    if images.dtype != np.uint8 or images.shape[-3:-1] != (height * factor, width * factor) or not factor:
        raise ValueError(
            f"images must be uint8, their height and width the same multiple of {height} and {width}, "
            f"got {images.dtype} {images.shape}"
        )
    if factor == 1:
        return images
    # Strided sums are several times faster than a reshape with two reduced axes.
    total = np.zeros((*images.shape[:-3], height, width, 3), np.uint16 if factor <= 16 else np.uint32)
    for row in range(factor):
        for column in range(factor):
            total += images[..., row::factor, column::factor, :]
    area = factor * factor
    return ((total + area // 2) // area).astype(np.uint8)


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


def upright(image: Image.Image) -> Image.Image:
    """A picture turned as its EXIF says, with grey values of 16 bits as 8."""
    turned = ImageOps.exif_transpose(image)
    if not turned.mode.startswith("I"):
        return turned
    wide = np.asarray(turned).astype(np.int64).clip(0, 65535)  # Pillow's conversion cuts them off at 255
    return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
