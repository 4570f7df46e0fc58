"""Rows of frames side by side, as one picture."""

from __future__ import annotations

import base64

import numpy as np
from PIL import Image

from playloop.rollouts.report_images import png_bytes

GAP = 2
SIDE = 96
"""Height in pixels to which small frames are magnified, by whole numbers."""


def strip(rows: list[np.ndarray], columns: list[int]) -> np.ndarray:
    """Frames `columns` of every row of frames uint8 [F, H, W, 3], one row below the other."""
    return stack([beside([frames[column] for column in columns]) for frames in rows])


def beside(frames: list[np.ndarray]) -> np.ndarray:
    """Frames from left to right."""
    spaced = [np.pad(frame, ((0, 0), (0, GAP), (0, 0)), constant_values=128) for frame in map(larger, frames)]
    return np.concatenate(spaced, 1)[:, :-GAP]


def stack(rows: list[np.ndarray]) -> np.ndarray:
    """Pictures of one width from top to bottom."""
    spaced = [np.pad(row, ((0, GAP), (0, 0), (0, 0)), constant_values=128) for row in rows]
    return np.ascontiguousarray(np.concatenate(spaced, 0)[:-GAP])


def larger(frame: np.ndarray) -> np.ndarray:
    """A small frame magnified by a whole number, a large one reduced to twice `SIDE`."""
    height, width = frame.shape[:2]
    if height > 2 * SIDE:
        size = (round(width * 2 * SIDE / height), 2 * SIDE)
        return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
    factor = max(1, round(SIDE / height))
    return frame.repeat(factor, 0).repeat(factor, 1)


def data_uri(picture: np.ndarray) -> str:
    """A picture uint8 [H, W, 3] as a `data:` address of a PNG."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode()
