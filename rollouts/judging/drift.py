"""What becomes of a long dream: distance to the truth, and signs of decay that need no truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.core.statistics import mean_interval
from playloop.rollouts.judging.quality import capped_psnr

MARKS = (1, 2, 4, 8, 16, 32, 64, 100, 150, 200, 300, 400)
"""Frames at which figures are given, as far as a dream goes."""


def signs(frames: np.ndarray, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """What can be said of frames uint8 [T, H, W, 3] and their tokens [T, N] alone, each [T].

    Keys: "brightness", mean of the pixels 0 … 255; "contrast", their standard deviation over a frame;
    "entropy", of the tokens of a frame in bits, which falls when a dream becomes one colour and rises when it
    becomes noise; "motion", mean absolute change of a pixel since the frame before (the first frame has the
    second's).
    """
    pixels = frames.astype(np.float32)
    change = np.abs(np.diff(pixels, axis=0)).mean((1, 2, 3))
    return {
        "brightness": pixels.mean((1, 2, 3)),
        "contrast": pixels.mean(-1).std((1, 2)),
        "entropy": np.array([entropy(row) for row in tokens]),
        "motion": np.concatenate([change[:1], change]),
    }


def entropy(tokens: np.ndarray) -> float:
    """The entropy of ids [N], in bits."""
    shares = np.unique(tokens, return_counts=True)[1] / len(tokens)
    return float(-(shares * np.log2(shares)).sum() + 0.0)


def curves(
    true: np.ndarray, imagined: np.ndarray, reconstructed: np.ndarray, last: np.ndarray
) -> dict[str, np.ndarray]:
    """PSNR against the truth at every frame, [F] each.

    Args:
        true: uint8 [F, H, W, 3].
        imagined: likewise.
        reconstructed: what the tokenizer makes of the true frames.
        last: the last true frame that was shown, uint8 [H, W, 3]: persistence.
    """
    still = np.repeat(last[None], len(true), 0)
    shown = {"imagined": imagined, "tokenizer": reconstructed, "persistence": still}
    return {name: capped_psnr(frames, true) for name, frames in shown.items()}


def at_marks(values: np.ndarray) -> list[dict[str, float]]:
    """Means of curves [clips, F] at `MARKS` with intervals, and the last frame."""
    frames = sorted({mark for mark in MARKS if mark < values.shape[1]} | {values.shape[1]})
    return [{"frame": frame, **mean_interval(values[:, frame - 1])} for frame in frames]


def summarize(found: list[dict[str, dict[str, np.ndarray]]]) -> dict[str, Any]:
    """Every curve of every clip, by group and name, at `MARKS`."""
    return {
        group: {name: at_marks(np.stack([clip[group][name] for clip in found])) for name in found[0][group]}
        for group in found[0]
    }
