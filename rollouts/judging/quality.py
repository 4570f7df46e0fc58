"""How near imagined frames are to the true ones, frame by frame behind the context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.core.statistics import by_frame, mean_interval

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Frames shown and true frames, uint8 [F, H, W, 3] → one number a frame, [F]."""
Scores = dict[str, dict[str, np.ndarray]]
"""Kind → measure → one number a frame, [F]."""

PERSISTENCE, TOKENIZER = "persistence", "tokenizer"
"""The last frame of the context, repeated; the true frames as the frame tokenizer gives them back."""


def window_name(window: int) -> str:
    """The kind of frames that are imagined with a decoding window."""
    return f"window {window}"


@dataclass
class Shown:
    """One clip as it was, and what others show instead of it.

    Args:
        true: the frames behind the context, uint8 [F, H, W, 3].
        tokens: theirs, int64 [F, N].
        frames: kind → uint8 [F, H, W, 3].
        guesses: kind → tokens, int64 [F, N].
    """

    true: np.ndarray
    tokens: np.ndarray
    frames: dict[str, np.ndarray]
    guesses: dict[str, np.ndarray]


def score(shown: Shown, measures: dict[str, Measure]) -> Scores:
    """All measures of one clip, and the share of right tokens ("accuracy") where tokens are guessed."""
    found = {
        kind: {name: np.asarray(measure(frames, shown.true)) for name, measure in measures.items()}
        for kind, frames in shown.frames.items()
    }
    for kind, guess in shown.guesses.items():
        found[kind]["accuracy"] = (guess == shown.tokens).mean(1)
    return found


def summarize(clips: list[Scores]) -> dict[str, Any]:
    """Means over clips with intervals: kind → measure → {"mean": …, "frames": [… of every horizon]}.

    Instead of the squared error there is "psnr_of_mean", the PSNR of its mean over the clips. Unlike the mean
    of PSNRs it cares little for the frames that are all but equal.
    """
    found: dict[str, Any] = {}
    for kind in clips[0]:
        measured = {name: by_frame(np.stack([clip[kind][name] for clip in clips])) for name in clips[0][kind]}
        error = measured.pop("squared_error")
        measured["psnr_of_mean"] = {
            "mean": decibels(error["mean"]),
            "frames": [decibels(record) for record in error["frames"]],
        }
        found[kind] = measured
    return found


def decibels(error: dict[str, float]) -> dict[str, float]:
    """A mean squared error with its interval as PSNR; infinite without any error."""
    with np.errstate(divide="ignore"):
        value, low, high = (-10 * np.log10(error[end] / 255.0**2) for end in ("value", "high", "low"))
    return {"value": float(value), "low": float(low), "high": float(high)}


def difference(clips: list[Scores], kind: str, other: str) -> dict[str, dict[str, float]]:
    """By how much a kind is above another on the same clips, the mean over the horizon, by measure."""
    shared = [name for name in clips[0][kind] if name in clips[0][other] and name != "squared_error"]
    return {
        name: mean_interval(np.array([clip[kind][name].mean() - clip[other][name].mean() for clip in clips]))
        for name in shared
    }
