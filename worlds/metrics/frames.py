"""PSNR and SSIM of frames in float64, and what a tokenizer leaves of frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from playloop.tokenizers.frames import FrameTokenizer

Frames = np.ndarray | Tensor
"""uint8 [..., H, W, 3]."""

WINDOW, SIGMA = 11, 1.5
"""Window and standard deviation of SSIM's Gaussian, in pixels."""
K1, K2 = 0.01, 0.03
CHUNK = 8
"""Frames that are compared at a time."""
TOGETHER = 64
"""Frames that a tokenizer takes at a time."""


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
    weights = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (2, 3):  # sums of shifted copies: convolutions in float64 are slow
        pieces = [x.narrow(axis, start, x.shape[axis] - WINDOW + 1) for start in range(WINDOW)]
        x = pieces[0] * weights[0]
        for piece, weight in zip(pieces[1:], weights[1:], strict=True):
            x.add_(piece, alpha=float(weight))
    return x


@torch.inference_mode()
def reconstruction(
    tokenizer: FrameTokenizer, frames: np.ndarray, disturbance: float = 0.1, seed: int = 0
) -> dict[str, float]:
    """How well a tokenizer keeps frames.

    Args:
        tokenizer: of their size.
        frames: uint8 [N, H, W, 3].
        disturbance: share of the codes of which a neighbour in the codebook takes the place for the
            perturbed score (arXiv 2503.08354).
        seed: of the choice.

    Returns:
        "psnr" in dB and "ssim", means over the frames; "psnr_perturbed" and "ssim_perturbed", with disturbed
        codes; "codes_used", the share of all codes that occur in these frames; "perplexity", of how many
        equally frequent codes they would have the entropy.
    """
    generator, fsq = torch.Generator().manual_seed(seed), tokenizer.fsq
    found: dict[str, list[np.ndarray]] = {}
    counts = torch.zeros(tokenizer.codes, dtype=torch.int64)
    for start in range(0, len(frames), TOGETHER):
        true = torch.from_numpy(np.ascontiguousarray(frames[start : start + TOGETHER]))
        ids = tokenizer.encode(true)
        counts += ids.flatten().bincount(minlength=tokenizer.codes)
        moved = fsq.ids(fsq.neighbours(fsq.digits(ids), generator))
        replaced = torch.rand(ids.shape, generator=generator) < disturbance
        for name, seen in (("", ids), ("_perturbed", torch.where(replaced, moved, ids))):
            shown = tokenizer.decode(seen)
            found.setdefault(f"psnr{name}", []).append(psnr(shown, true))
            found.setdefault(f"ssim{name}", []).append(ssim(shown, true))
    share = counts[counts > 0].double() / counts.sum()
    use = {
        "codes_used": len(share) / tokenizer.codes,
        "perplexity": float((-share * share.log()).sum().exp()),
    }
    return {name: float(np.concatenate(values).mean()) for name, values in found.items()} | use
