"""Sines and cosines with the same bits on every machine."""

from __future__ import annotations

import math

import numpy as np


def heading(degrees: float) -> tuple[float, float]:
    """Sine and cosine of degrees to 30 binary places: their last bits differ between C libraries."""
    scale, angle = 2.0**30, math.radians(degrees)
    return round(math.sin(angle) * scale) / scale, round(math.cos(angle) * scale) / scale


def ahead(pitch: float, yaw: float) -> np.ndarray:
    """The unit vector (east, up, south) of a view: pitch downwards, yaw clockwise from south, in degrees."""
    (sp, cp), (sy, cy) = heading(pitch), heading(yaw)
    return np.array([-sy * cp, -sp, cy * cp])
