"""Pictures beside one another, small enough to live inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import av
import numpy as np
from PIL import Image

GAP, GREY = 2, 128
FILM_FRAMES, FILM_HEIGHT = 6, 160
SIDE = 96
"""Height in pixels to which small frames are magnified, by whole numbers."""


def beside(images: list[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Images uint8 [H, W, 3] from left to right at their own size, grey between them and below small ones."""
    height = max(image.shape[0] for image in images)
    padded = [
        np.pad(image, ((0, height - image.shape[0]), (0, gap), (0, 0)), constant_values=GREY)
        for image in images
    ]
    return np.ascontiguousarray(np.concatenate(padded, axis=1)[:, :-gap])


def stack(rows: list[np.ndarray]) -> np.ndarray:
    """Pictures of one width from top to bottom."""
    spaced = [np.pad(row, ((0, GAP), (0, 0), (0, 0)), constant_values=GREY) for row in rows]
    return np.ascontiguousarray(np.concatenate(spaced)[:-GAP])


def magnified(frame: np.ndarray) -> np.ndarray:
    """A small frame enlarged by a whole number, a large one reduced to twice `SIDE`."""
    height, width = frame.shape[:2]
    if height > 2 * SIDE:
        size = (round(width * 2 * SIDE / height), 2 * SIDE)
        return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
    factor = max(1, round(SIDE / height))
    return frame.repeat(factor, 0).repeat(factor, 1)


def filmstrip(video: Path, frames: int = FILM_FRAMES) -> np.ndarray:
    """Evenly spaced frames of a video's first camera, first and last included, from left to right.

    Raises:
        ValueError: the file is no video.
    """
    try:
        with av.open(str(video)) as container:
            pictures = [_reduced(frame) for frame in container.decode(video=0)]
    except av.FFmpegError as error:
        raise ValueError(f"{video} cannot be read ({error}); delete it") from error
    if not pictures:
        raise ValueError(f"{video} has no frames; delete it")
    chosen = np.linspace(0, len(pictures) - 1, frames).round().astype(int)
    return beside([pictures[index][:, :FILM_HEIGHT] for index in chosen])


def _reduced(frame: av.VideoFrame) -> np.ndarray:
    width = round(frame.width * FILM_HEIGHT / frame.height)
    return frame.reformat(width=width, height=FILM_HEIGHT, format="rgb24").to_ndarray()


def encoded(picture: np.ndarray, kind: str = "PNG", **options: int) -> bytes:
    """A picture uint8 [H, W, 3] as a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def data_uri(file: bytes, kind: str = "png") -> str:
    """A picture's file as a `data:` address."""
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
