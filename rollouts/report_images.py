"""Pictures for the report, small enough to live inside it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import av
import numpy as np
from PIL import Image

STRIP_FRAMES = 6
STRIP_HEIGHT = 160


def filmstrip(video: Path, frames: int = STRIP_FRAMES) -> Image.Image:
    """Evenly spaced frames of a video, first and last included, from left to right.

    Of a video with cameras side by side only the first camera is shown.

    Raises:
        ValueError: the file is no video.
    """
    pictures = _frames(video)
    chosen = np.linspace(0, len(pictures) - 1, frames).round().astype(int)
    shown = [_first_camera(pictures[index]) for index in chosen]
    gap = 2
    width = sum(picture.width for picture in shown) + gap * (frames - 1)
    strip = Image.new("RGB", (width, STRIP_HEIGHT), (128, 128, 128))
    left = 0
    for picture in shown:
        strip.paste(picture, (left, 0))
        left += picture.width + gap
    return strip


def jpeg_uri(picture: Image.Image, quality: int = 82) -> str:
    """A picture as a `data:` address."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True)
    return _uri("image/jpeg", buffer.getvalue())


def png_uri(path: Path) -> str:
    """A PNG file as a `data:` address."""
    return _uri("image/png", path.read_bytes())


def png_bytes(image: np.ndarray) -> bytes:
    """An image uint8 [H, W, 3] as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _frames(video: Path) -> list[Image.Image]:
    try:
        with av.open(str(video)) as container:
            pictures = [_reduced(frame) for frame in container.decode(video=0)]
    except av.FFmpegError as error:
        raise ValueError(f"{video} cannot be read ({error}); delete it") from error
    if not pictures:
        raise ValueError(f"{video} has no frames; delete it")
    return pictures


def _reduced(frame: av.VideoFrame) -> Image.Image:
    width = round(frame.width * STRIP_HEIGHT / frame.height)
    return frame.reformat(width=width, height=STRIP_HEIGHT, format="rgb24").to_image()


def _first_camera(picture: Image.Image) -> Image.Image:
    return picture.crop((0, 0, min(picture.width, picture.height), picture.height))


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
