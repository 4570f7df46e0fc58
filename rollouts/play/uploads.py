"""Images and clips from outside, decoded under limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from playloop.rollouts.play.clips import HOLES, film, moving
from playloop.rollouts.play.stills import as_shown, check_size, has_holes

IMAGES = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MOVING = ("PNG", "WEBP", "GIF")
CONTAINERS = {b"ftyp": ("mp4", 4), b"\x1aE\xdf\xa3": ("matroska", 0)}
"""Magic number → demuxer and its place. All others are refused: some formats name further files to read."""


@dataclass(frozen=True)
class Upload:
    """Pictures to go on from.

    Args:
        frames: uint8 [T, H, W, 3], T ≤ 64, no side above 640, one tick from each to the next.
        note: what the sender should know about them, if there is anything.
    """

    frames: np.ndarray
    note: str | None = None


def decode_upload(path: Path, rate: float | None) -> np.ndarray:
    """The frames of `read_upload` alone."""
    return read_upload(path, rate).frames


def read_upload(path: Path, rate: float | None) -> Upload:
    """An image, or the end of a clip, as viewers show it.

    Args:
        path: the file.
        rate: ticks a second of what goes on from it, which neighbouring frames must be apart: of a clip that
            is slower only the last frame is taken. None: the last frames, however far apart.

    Raises:
        ValueError: it is neither, damaged, or beyond the limits.
    """
    with path.open("rb") as file:
        start = file.read(16)
    for magic, (name, place) in CONTAINERS.items():
        if start[place : place + len(magic)] == magic:
            return _joined(*film(path, name, rate))
    try:
        with Image.open(path, formats=IMAGES) as image:
            check_size(*image.size)
            if image.format in MOVING and getattr(image, "is_animated", False):
                return _joined(*moving(image, rate))
            return _joined([as_shown(image)], HOLES if has_holes(image) else None)
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(
            "the file is no image or clip that can be read; send PNG, JPEG, WebP, GIF, MP4, WebM or MKV."
        ) from error


def _joined(frames: list[np.ndarray], note: str | None) -> Upload:
    """Frames of one size: those at the end that have the last one's."""
    same = len(frames)
    while same and frames[same - 1].shape == frames[-1].shape:
        same -= 1
    return Upload(np.stack(frames[same:]), note)
