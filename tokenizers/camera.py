"""Turns of the view as bins that are fine near zero and coarse far from it, on a mu-law scale."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from playloop.core.checked import checked
from playloop.core.kinds import kind


@kind("camera-bins")
@checked(frozen=True)
class CameraBins:
    """Degrees ↔ bins; exact inverses on the bins' centres.

    A turn x becomes v = sign(x) · ln(1 + mu · |x| / most) / ln(1 + mu), and v in [-1, 1] is divided evenly.

    Args:
        most: turns beyond it are clipped, in degrees.
        width: of a bin on the scale most · v.
        mu: how much finer the middle is.
        truncate: drop the fraction of a degree first, as MineWorld's release does where it reads raw records:
            its integer camera loses every turn under a degree, and with its wide first bin every turn under
            two. Encode raw turns so, and no others: what was read by the release has lost them already.
    """

    most: Annotated[float, Gt(0), Le(180)] = 90.0
    width: Annotated[float, Ge(0.01), Le(180)] = 6.0
    mu: Annotated[float, Gt(0), Le(1e6)] = 100.0
    truncate: bool = False

    def __post_init__(self) -> None:
        half = self.most / self.width
        if half != round(half):
            raise ValueError(f"{self}: width must be a divisor of most")

    @property
    def count(self) -> int:
        """Number of bins; odd, the middle one is no turn."""
        return 2 * round(self.most / self.width) + 1

    @property
    def zero(self) -> int:
        """The bin of no turn."""
        return self.count // 2

    @cached_property
    def centers(self) -> np.ndarray:
        """Degrees that the bins decode to, float64 [count]."""
        v = (np.arange(self.count) - self.zero) / self.zero
        return np.sign(v) * ((1 + self.mu) ** np.abs(v) - 1) / self.mu * self.most

    def encode(self, degrees: np.ndarray) -> np.ndarray:
        """Degrees in any shape → int64 bins."""
        x = np.asarray(degrees, np.float64)
        x = np.clip(np.trunc(x) if self.truncate else x, -self.most, self.most) / self.most
        v = np.sign(x) * np.log1p(self.mu * np.abs(x)) / np.log1p(self.mu)
        return np.round((v * self.most + self.most) / self.width).astype(np.int64)

    def decode(self, bins: np.ndarray) -> np.ndarray:
        """Bins in any shape → degrees, float64."""
        return self.centers[bins]


FINE = CameraBins()
"""Our default: 31 bins, of which seven lie under two degrees: 0, ±0.32, ±0.77, ±1.37."""
MINEWORLD = CameraBins(90.0, 9.0, 11.4887)
"""MineWorld's 21 bins (arXiv 2504.08388) without its truncation."""
MINEWORLD_COMPAT = CameraBins(90.0, 9.0, 11.4887, truncate=True)
"""MineWorld's 21 bins, and what they make of a raw turn in the release."""
VPT = CameraBins(10.0, 2.0, 10.0)
"""VPT's 11 bins (arXiv 2206.11795)."""
