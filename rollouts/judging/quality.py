"""How near imagined frames are to the true ones, frame by frame behind the context, and as videos; what
becomes of long dreams.

What needs published weights is measured only where they are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.core.statistics import by_frame, mean_interval
from playloop.rollouts.judging.config import WorldEvaluationConfig
from playloop.worlds.metrics import psnr, ssim
from playloop.worlds.metrics.fvd import I3D, SHORTEST, frechet_distance
from playloop.worlds.metrics.lpips import LPIPS

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Frames shown and true frames, uint8 [F, H, W, 3] → one number a frame, [F]."""
Scores = dict[str, dict[str, np.ndarray]]
"""Kind → measure → one number a frame, [F]."""

PERSISTENCE, TOKENIZER = "persistence", "tokenizer"
"""The last frame of the context, repeated; the true frames as the frame tokenizer gives them back."""
CEILING = 10 * math.log10(12 * 255**2)
"""What equal frames count in a mean of PSNRs, 58.9 dB: the error that rounding to bytes leaves."""
MINEWORLD_LENGTHS = range(SHORTEST, 16)
"""MineWorld's FVD is the mean of those of the first 10, 11, … 15 frames."""
MARKS = (1, 2, 4, 8, 16, 32, 64, 100, 150, 200, 300, 400)
"""Frames at which figures are given, as far as a dream goes."""


def window_name(window: int) -> str:
    """The kind of frames that are imagined with a decoding window."""
    return f"window {window}"


@dataclass
class Shown:
    """One clip as it was behind its context, and by kind what others show instead of it."""

    true: np.ndarray  # uint8 [F, H, W, 3]
    tokens: np.ndarray  # int64 [F, N]
    frames: dict[str, np.ndarray]  # uint8 [F, H, W, 3]
    guesses: dict[str, np.ndarray]  # int64 [F, N]


class Measures:
    """What a configuration, and the files of weights that it names, let be measured.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file holds something else, one of LPIPS's two is missing, or clips are too short.
    """

    def __init__(self, config: WorldEvaluationConfig):
        self.by_frame: dict[str, Measure] = {
            "psnr": capped_psnr,
            "squared_error": squared_error,
            "ssim": ssim,
        }
        if bool(config.lpips_network) != bool(config.lpips_linear):
            raise ValueError("LPIPS takes two files; give both lpips_network=… and lpips_linear=….")
        if config.lpips_network and config.lpips_linear:
            files = config.lpips_network, config.lpips_linear
            self.by_frame["lpips"] = LPIPS(*files, config.lpips_kind, config.device)
        self.network = I3D(config.fvd, config.device) if config.fvd else None
        if self.network and config.horizon < SHORTEST:
            raise ValueError(f"FVD wants videos of {SHORTEST} frames; horizon={config.horizon} is shorter.")
        lengths = {length for length in MINEWORLD_LENGTHS if length <= config.horizon}
        self.lengths = sorted(lengths | {config.horizon})
        self._features: dict[str, dict[int, list[np.ndarray]]] = {}

    def watch(self, shown: Shown) -> None:
        """Keep what FVD needs of a clip."""
        if self.network is None:
            return
        for kind, frames in {"true": shown.true, **shown.frames}.items():
            kept = self._features.setdefault(kind, {length: [] for length in self.lengths})
            for length, found in kept.items():
                found.append(self.network.features(np.ascontiguousarray(frames[None, :length]))[0])

    def of_videos(self) -> dict[str, Any]:
        """Kind → FVD of whole clips and, as MineWorld reports it, the mean over lengths; empty without I3D.

        There is no interval: a resampled set of videos is farther from the truth than the set itself.
        """
        kept = {kind: {n: np.stack(f) for n, f in found.items()} for kind, found in self._features.items()}
        true = kept.pop("true", {})
        found = {}
        for kind, features in kept.items():
            distances = {length: frechet_distance(true[length], features[length]) for length in self.lengths}
            short = [distances[length] for length in MINEWORLD_LENGTHS if length in distances]
            found[kind] = {"fvd": distances[self.lengths[-1]], "mineworld": float(np.mean(short))}
        return found


def capped_psnr(shown: np.ndarray, true: np.ndarray) -> np.ndarray:
    """PSNR of every frame [F], at most `CEILING`: a mean exists though some frames are equal."""
    return np.minimum(psnr(shown, true), CEILING)


def squared_error(shown: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean squared error of every frame [F], of pixels 0 … 255."""
    return 255.0**2 * 10 ** (-psnr(shown, true) / 10)


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


# ---------------------------------------------------------------------------------------------- long dreams


def signs(frames: np.ndarray, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """What can be said of frames uint8 [T, H, W, 3] and their tokens [T, N] without the truth, each [T].

    Entropy, in bits, falls when a dream becomes one colour and rises when it becomes noise. Motion is the
    mean absolute change of a pixel since the frame before; the first frame has the second's.
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


def drift_curves(
    true: np.ndarray, imagined: np.ndarray, reconstructed: np.ndarray, last: np.ndarray
) -> dict[str, np.ndarray]:
    """PSNR of frames uint8 [F, H, W, 3] at each [F]; persistence repeats the last one that was shown."""
    still = np.repeat(last[None], len(true), 0)
    shown = {"imagined": imagined, "tokenizer": reconstructed, "persistence": still}
    return {name: capped_psnr(frames, true) for name, frames in shown.items()}


def _at_marks(values: np.ndarray) -> list[dict[str, float]]:
    """Means of curves [clips, F] at `MARKS` with intervals, and the last frame."""
    frames = sorted({mark for mark in MARKS if mark < values.shape[1]} | {values.shape[1]})
    return [{"frame": frame, **mean_interval(values[:, frame - 1])} for frame in frames]


def drift_figures(found: list[dict[str, dict[str, np.ndarray]]]) -> dict[str, Any]:
    """Every curve of every clip, by group and name, at `MARKS`."""
    return {
        group: {name: _at_marks(np.stack([clip[group][name] for clip in found])) for name in found[0][group]}
        for group in found[0]
    }
