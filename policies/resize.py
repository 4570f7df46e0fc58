"""Pictures in the sizes that published policies want, to the bits of TensorFlow, OpenCV and Pillow."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

LOBES = 3
Taps = tuple[np.ndarray, np.ndarray]
"""The first source of every target, int [target], and the weights from there on, float32 [target, taps]."""


def lanczos(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`tf.image.resize(method="lanczos3", antialias=True)`, rounded: the whole image, its ratio not kept.

    TensorFlow's bits: float32 throughout, rows before columns, one source after the other, halves rounded to
    the even neighbour. uint8 [H, W, C] → [height, width, C].
    """
    _check(image)
    if image.shape[:2] == tuple(size):
        return image
    rows, columns = (_lanczos_taps(*sides) for sides in zip(image.shape[:2], size, strict=True))
    resized = _gather(image.astype(np.float32), rows)
    resized = _gather(resized.transpose(1, 0, 2), columns).transpose(1, 0, 2)
    return np.clip(np.round(resized), 0, 255).astype(np.uint8)


def fit_with_border(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`tf.image.resize_with_pad`, cut to whole numbers: the ratio is kept, what is left over is black.

    Bilinear between pixel centres without a filter, so that a half size is the mean of four pixels.
    uint8 [H, W, C] → [height, width, C].
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


def area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`cv2.resize(interpolation=cv2.INTER_AREA)`: the mean of what a target pixel covers, the ratio not kept.

    uint8 [H, W, C] → [height, width, C].

    Raises:
        ValueError: a side would grow, for which OpenCV takes another method.
    """
    import cv2  # a tenth of a second that only these pictures need

    _check(image)
    check_shrinks(image.shape[:2], size)
    resized = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8).reshape(*size, image.shape[2])  # OpenCV drops a single channel


def pad(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`openpi_client.image_tools.resize_with_pad`: Pillow's bilinear filter, the ratio kept, a black border.

    uint8 [H, W, C] → [height, width, C].
    """
    _check(image)
    if image.shape[:2] == tuple(size):
        return image
    ratio = max(image.shape[0] / size[0], image.shape[1] / size[1])
    height, width = (int(side / ratio) for side in image.shape[:2])
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    found = np.zeros((*size, image.shape[2]), np.uint8)
    inner = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    found[top : top + height, left : left + width] = np.asarray(inner)
    return found


RESIZE: dict[str, Callable[[np.ndarray, tuple[int, int]], np.ndarray]] = {
    "lanczos": lanczos,
    "border": fit_with_border,
    "area": area,
    "pad": pad,
}
"""Name → how a picture is resized, see `core.conventions`.

SimplerEnv's runners: lanczos for Octo, border for RT-1, area for OpenVLA and its kin. openpi: pad.
"""


def check_shrinks(source: tuple[int, ...], target: tuple[int, ...]) -> None:
    """Refuse a size that `area` cannot make of another.

    Raises:
        ValueError: a side would grow, or is 0.
    """
    if any(not 1 <= after <= before for before, after in zip(source, target, strict=True)):
        raise ValueError(
            f"pictures of {' x '.join(map(str, source))} cannot be made {' x '.join(map(str, target))} by "
            "resize=area, which only shrinks; use resize=lanczos"
        )


def _check(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"an image is uint8 [H, W, C], not {image.dtype} {image.shape}")


def _gather(image: np.ndarray, taps: Taps) -> np.ndarray:
    """Weighted sums along the first axis, float32 [source, …] → [target, …]."""
    first, weights = taps
    total = np.zeros((len(first), *image.shape[1:]), np.float32)
    for tap in range(weights.shape[1]):
        source = np.minimum(first + tap, len(image) - 1)  # weights beyond the edge are 0
        total += weights[:, tap, None, None] * image[source]
    return total


@cache
def _lanczos_taps(source: int, target: int) -> Taps:
    """Lanczos' kernel, stretched where the image shrinks."""
    one, half = np.float32(1), np.float32(0.5)
    step = one / (np.float32(target) / np.float32(source))
    stretch = max(step, one)
    centres = (np.arange(target, dtype=np.float32) + half) * step
    reach = np.float32(LOBES) * stretch
    first = np.maximum(np.ceil(centres - reach - half), 0).astype(int)
    last = np.minimum(np.floor(centres + reach - half), source - 1).astype(int)
    samples = first[:, None] + np.arange((last - first).max() + 1)
    away = np.abs((samples.astype(np.float32) + half - centres[:, None]) * (one / stretch))
    weights = np.where(samples <= last[:, None], _lanczos_kernel(away), np.float32(0))
    total = np.add.accumulate(weights, axis=1)[:, -1:]  # one after the other, unlike `sum`
    return first, weights * (one / total)


def _lanczos_kernel(away: np.ndarray) -> np.ndarray:
    """float32 → float32; the order of the products is TensorFlow's."""
    pi, lobes = np.float32(np.pi), np.float32(LOBES)
    x = np.maximum(away, np.float32(1e-3))
    sine = _sine()
    value = lobes * sine(pi * x) * sine(pi * x / lobes) / (pi * pi * x * x)
    return np.where(away > lobes, np.float32(0), np.where(away <= np.float32(1e-3), np.float32(1), value))


@cache
def _sine() -> Callable[[np.ndarray], np.ndarray]:
    """The C library's float32 sine, which TensorFlow calls: NumPy's own differs in the last bit.

    Where there is none it is rounded from float64: a few pixels in a hundred thousand differ by one level.
    """
    try:
        function = ctypes.CDLL(None).sinf
    except (AttributeError, OSError, TypeError):
        return lambda x: np.sin(x.astype(np.float64)).astype(np.float32)
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return np.vectorize(function, otypes=[np.float32])


@cache
def _linear_weights(source: int, target: int) -> np.ndarray:
    """[target, source]: the two pixels around each centre."""
    samples = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    away = np.abs(np.arange(source) - samples[:, None])
    return np.clip(1.0 - away, 0.0, 1.0).astype(np.float32)
