"""By what frames and videos are compared; what needs published weights only where they are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from playloop.rollouts.judging.config import WorldEvaluationConfig
from playloop.rollouts.judging.quality import Measure, Shown
from playloop.worlds.metrics import psnr, ssim
from playloop.worlds.metrics.fvd import I3D, SHORTEST, frechet_distance
from playloop.worlds.metrics.lpips import LPIPSConfig

CEILING = 10 * math.log10(12 * 255**2)
"""What equal frames count in a mean of PSNRs, 58.9 dB: the error that rounding to bytes leaves."""
MINEWORLD_LENGTHS = range(SHORTEST, 16)
"""MineWorld's FVD is the mean of those of the first 10, 11, … 15 frames."""


class Measures:
    """What a configuration asks for.

    Args:
        config: which files of weights there are.

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
            self.by_frame["lpips"] = LPIPSConfig(*files, config.lpips_kind, config.device).make()
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
