"""Single pictures as viewers show them: upright, eight bits, sRGB, nothing transparent."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from PIL import Image, ImageCms

from playloop.core.images import upright

GROUND = (255, 255, 255)
"""What lies behind transparent pixels: white, as most viewers have it."""
SIDE = 640
"""Longest side of what is kept, so that a clip's memory is bounded."""
MAX_PIXELS = 4096 * 2304


def check_size(width: int, height: int) -> None:
    """Refuse pictures that are too large to decode.

    Raises:
        ValueError: says how large they may be.
    """
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"{width} × {height} pixels are too many; send at most 4096 × 2304.")


def fitting(width: int, height: int) -> tuple[int, int]:
    """Width and height with the same proportions and no side above `SIDE`."""
    share = min(1.0, SIDE / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def has_holes(image: Image.Image) -> bool:
    """Whether anything in a picture is transparent."""
    if not image.has_transparency_data:
        return False
    return any(image.convert("RGBA").getchannel("A").histogram()[:255])


def as_shown(image: Image.Image) -> np.ndarray:
    """A picture as a viewer shows it, uint8 [H, W, 3], no side above `SIDE`.

    Turned as its EXIF says, 16 bits scaled to 8, its colour profile converted to sRGB, laid on `GROUND`.
    """
    profile = image.info.get("icc_profile")
    image = upright(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", image.size, (*GROUND, 255)), image).convert("RGB")
    else:
        flat = image if image.mode == "CMYK" and profile else image.convert("RGB")
    if flat.size != (size := fitting(*flat.size)):
        flat = flat.resize(size, Image.Resampling.BOX)
    return np.array(_standard(flat, profile))


def _standard(image: Image.Image, profile: bytes | None) -> Image.Image:
    """In sRGB; a profile that cannot be read counts as none, as in browsers."""
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            assert turned is not None
            return turned
    return image.convert("RGB")
