"""Images and clips from outside, decoded under limits."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

IMAGES = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
CONTAINERS = {b"ftyp": ("mp4", 4), b"\x1aE\xdf\xa3": ("matroska", 0)}
"""Magic number → demuxer and its place. All others are refused: some formats name further files to read."""
MAX_PIXELS = 4096 * 2304
MAX_SECONDS = 60.0
MAX_FRAMES = 64
"""Frames of a clip that are kept, its last."""
SIDE = 640
"""Longest side of what is kept, so that a clip's memory is bounded."""


def decode_upload(path: Path, fps: float) -> np.ndarray:
    """The frames of an image or of the end of a clip, uint8 [T, H, W, 3], T ≤ 64, no side above 640.

    Args:
        path: the file.
        fps: frames of a clip are picked at this rate.

    Raises:
        ValueError: it is neither, damaged, or beyond the limits.
    """
    with path.open("rb") as file:
        start = file.read(16)
    for magic, (name, place) in CONTAINERS.items():
        if start[place : place + len(magic)] == magic:
            return _clip(path, name, fps)
    return _image(path)[None]


def _image(path: Path) -> np.ndarray:
    try:
        with Image.open(path, formats=IMAGES) as image:
            _check_size(*image.size)
            return _shrunk(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            "the file is no image or clip that can be read; send PNG, JPEG, WebP, GIF, MP4, WebM or MKV."
        ) from error


def _clip(path: Path, name: str, fps: float) -> np.ndarray:
    try:
        with path.open("rb") as file, av.open(file, format=name) as container:
            if not container.streams.video:
                raise ValueError("the clip has no picture; send one with a video track.")
            stream = container.streams.video[0]
            _check_size(stream.codec_context.width, stream.codec_context.height)
            return np.stack(_last_frames(container, stream, fps))
    except av.FFmpegError as error:
        raise ValueError(f"the clip cannot be decoded: {error.strerror}.") from error


def _last_frames(container, stream, fps: float) -> list[np.ndarray]:
    kept: list[np.ndarray] = []
    next_time = 0.0
    for frame in container.decode(stream):
        _check_size(frame.width, frame.height)
        time = float(frame.time or 0.0) - float((stream.start_time or 0) * stream.time_base)
        if time > MAX_SECONDS:
            raise ValueError(f"the clip is longer than {MAX_SECONDS:g} s; send its end.")
        if time + 1e-6 >= next_time:
            kept = [*kept[1 - MAX_FRAMES :], _shrunk(frame.to_image())]
            next_time = max(next_time + 1 / fps, time)
    if not kept:
        raise ValueError("the clip holds no frame.")
    return kept


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"{width} × {height} pixels are too many; send at most 4096 × 2304.")


def _shrunk(image: Image.Image) -> np.ndarray:
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image)
