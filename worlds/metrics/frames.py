"""PSNR and SSIM of frames, in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Frames = np.ndarray | Tensor
"""uint8 [..., H, W, 3]."""

WINDOW, SIGMA = 11, 1.5
"""Of SSIM's Gaussian, in pixels."""
K1, K2 = 0.01, 0.03
CHUNK = 8
"""Frames that are compared at a time."""


def psnr(a: Frames, b: Frames) -> np.ndarray:
    """Peak signal-to-noise ratio of every frame in dB, float64 [...]; infinite where frames are equal."""
    first, second = as_pair(a, b)
    error = np.concatenate([_squared_error(*pair) for pair in _chunks(first, second)])
    with np.errstate(divide="ignore"):
        return (-10 * np.log10(error / 255.0**2)).reshape(a.shape[:-3])


def ssim(a: Frames, b: Frames) -> np.ndarray:
    """Structural similarity of every frame (Wang et al. 2004), float64 [...]; 1 where frames are equal.

    A Gaussian window of 11 pixels, sigma 1.5; means over the windows that lie inside the frame and over the
    three channels.

    Raises:
        ValueError: frames are smaller than the window.
    """
    first, second = as_pair(a, b)
    if min(first.shape[1:3]) < WINDOW:
        raise ValueError(
            f"frames of {tuple(first.shape[1:3])} pixels; SSIM's window wants {WINDOW} in each direction"
        )
    found = [_similarity(*pair) for pair in _chunks(first, second)]
    return np.concatenate(found).reshape(a.shape[:-3])


def as_pair(a: Frames, b: Frames) -> tuple[Tensor, Tensor]:
    """Both as uint8 tensors [N, H, W, 3].

    Raises:
        ValueError: they are no frames, or of different shapes.
    """
    for frames in (a, b):
        if str(frames.dtype).removeprefix("torch.") != "uint8" or frames.ndim < 3 or frames.shape[-1] != 3:
            raise ValueError(f"frames are {frames.dtype} {tuple(frames.shape)}; pass uint8 [..., H, W, 3]")
    if tuple(a.shape) != tuple(b.shape):
        raise ValueError(f"frames of {tuple(a.shape)} and {tuple(b.shape)} cannot be compared")
    if 0 in a.shape:
        raise ValueError(f"frames are {tuple(a.shape)}: there is nothing to compare")
    first, second = (torch.as_tensor(frames).reshape(-1, *frames.shape[-3:]) for frames in (a, b))
    return first, second.to(first.device)


def _chunks(a: Tensor, b: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(a.split(CHUNK), b.split(CHUNK), strict=True))


def _squared_error(a: Tensor, b: Tensor) -> np.ndarray:
    return (a.double() - b.double()).square().mean((1, 2, 3)).cpu().numpy()


def _similarity(a: Tensor, b: Tensor) -> np.ndarray:
    x, y = (frames.permute(0, 3, 1, 2).double() for frames in (a, b))  # [N, 3, H, W]
    mean_x, mean_y, xx, yy, xy = (_blur(part) for part in (x, y, x * x, y * y, x * y))
    one, two = (K1 * 255) ** 2, (K2 * 255) ** 2
    luminance = (2 * mean_x * mean_y + one) / (mean_x**2 + mean_y**2 + one)
    variance = xx - mean_x**2 + yy - mean_y**2
    contrast = (2 * (xy - mean_x * mean_y) + two) / (variance + two)
    return (luminance * contrast).mean((1, 2, 3)).cpu().numpy()


def _blur(x: Tensor) -> Tensor:
    """A Gaussian mean over the windows inside, [N, 3, H, W] → [N, 3, H - 10, W - 10]."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (2, 3):  # sums of shifted copies: convolutions in float64 are slow
        pieces = [x.narrow(axis, place, x.shape[axis] - WINDOW + 1) for place in range(WINDOW)]
        x = pieces[0] * weights[0]
        for piece, weight in zip(pieces[1:], weights[1:], strict=True):
            x.add_(piece, alpha=float(weight))
    return x
