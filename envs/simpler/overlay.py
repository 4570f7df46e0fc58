"""SIMPLER's pictures: a photograph of the real place, over which robot and objects are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def read_photograph(path: Path) -> np.ndarray:
    """A photograph, uint8 [H, W, 3].

    Raises:
        FileNotFoundError: it is missing, which means that the assets are incomplete.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the photograph {path} is missing; fetch the assets again")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def composite(drawn: np.ndarray, segments: np.ndarray, keep: Iterable[int], photo: np.ndarray) -> np.ndarray:
    """The photograph, with what was drawn of some things in front of it.

    Args:
        drawn: the simulator's picture [H, W, 3].
        segments: which thing each pixel shows, whole numbers [H, W] from 0.
        keep: numbers of the things that are kept.
        photo: of the same shape, type and range.
    """
    kept = np.zeros(int(segments.max()) + 1, bool)
    kept[[number for number in keep if number < len(kept)]] = True
    return np.where(kept[segments][..., None], drawn, photo)
