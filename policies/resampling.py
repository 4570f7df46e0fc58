"""Image sizes as published policies of Bridge and Fractal get them, without TensorFlow."""

from __future__ import annotations

from functools import cache

import numpy as np

LOBES = 3


def lanczos(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`tf.image.resize(method="lanczos3", antialias=True)`, rounded: the whole image, its ratio not kept.

    Args:
        image: uint8 [H, W, C].
        size: height and width.

    Returns:
        uint8 [height, width, C]; halves are rounded to the even neighbour.
    """
    _check(image)
    rows, columns = (_lanczos_weights(*sides) for sides in zip(image.shape[:2], size, strict=True))
    resized = np.einsum("ah,hwc->awc", rows, image.astype(np.float32))
    resized = np.einsum("bw,awc->abc", columns, resized)
    return np.clip(np.round(resized), 0, 255).astype(np.uint8)


def fit_with_border(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`tf.image.resize_with_pad`, cut to whole numbers: the ratio is kept, what is left over is black.

    Bilinear between pixel centres without a filter, so that a half size is the mean of four pixels.

    Args:
        image: uint8 [H, W, C].
        size: height and width.
    """
    _check(image)
    ratio = max(image.shape[0] / size[0], image.shape[1] / size[1])
    inner = tuple(int(side / ratio) for side in image.shape[:2])
    rows, columns = (_linear_weights(*sides) for sides in zip(image.shape[:2], inner, strict=True))
    resized = np.einsum("ah,hwc->awc", rows, image.astype(np.float32))
    resized = np.einsum("bw,awc->abc", columns, resized)
    found = np.zeros((*size, image.shape[2]), np.uint8)
    top, left = ((outer - side) // 2 for outer, side in zip(size, inner, strict=True))
    found[top : top + inner[0], left : left + inner[1]] = resized.astype(np.uint8)
    return found


def _check(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"an image is uint8 [H, W, C], not {image.dtype} {image.shape}")


@cache
def _lanczos_weights(source: int, target: int) -> np.ndarray:
    """[target, source]: Lanczos' kernel, stretched where the image shrinks."""
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    away = (np.arange(source) + 0.5 - centres[:, None]) / stretch
    weights = np.where(np.abs(away) < LOBES, np.sinc(away) * np.sinc(away / LOBES), 0.0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@cache
def _linear_weights(source: int, target: int) -> np.ndarray:
    """[target, source]: the two pixels around each centre."""
    places = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    away = np.abs(np.arange(source) - places[:, None])
    return np.clip(1.0 - away, 0.0, 1.0).astype(np.float32)
