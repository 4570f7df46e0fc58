"""Sines, hashes and noise with the same bits on every machine."""

from __future__ import annotations

import math

import numpy as np


def heading(degrees: float) -> tuple[float, float]:
    """Sine and cosine of degrees to 30 binary digits: their last bits differ between C libraries."""
    scale, angle = 2.0**30, math.radians(degrees)
    return round(math.sin(angle) * scale) / scale, round(math.cos(angle) * scale) / scale


def ahead(pitch: float, yaw: float) -> np.ndarray:
    """The unit vector (east, up, south) of a view: pitch downwards, yaw clockwise from south, in degrees."""
    (sp, cp), (sy, cy) = heading(pitch), heading(yaw)
    return np.array([-sy * cp, -sp, cy * cp])


def hash_grid(seed: int, *coordinates: np.ndarray) -> np.ndarray:
    """A well-mixed uint32 for every point of broadcast integer coordinates (murmur3's finalizer)."""
    value = np.array(seed & 0xFFFFFFFF, np.uint32)
    with np.errstate(over="ignore"):
        for coordinate in coordinates:
            value = (value ^ np.asarray(coordinate).astype(np.uint32)) * np.uint32(0x9E3779B1)
            value = value ^ (value >> np.uint32(16))
            value = value * np.uint32(0x85EBCA6B)
            value = value ^ (value >> np.uint32(13))
            value = value * np.uint32(0xC2B2AE35)
            value = value ^ (value >> np.uint32(16))
    return value


def unit(hashed: np.ndarray) -> np.ndarray:
    """uint32 → float64 in [0, 1), exactly."""
    return hashed.astype(np.float64) / 2.0**32


def value_noise(seed: int, width: int, depth: int, scale: int) -> np.ndarray:
    """Smooth noise in [0, 1), float64 [width, depth], with bumps `scale` apart.

    Only sums and products of dyadic numbers: no function whose last bit depends on the C library.
    """
    x, z = np.arange(width)[:, None], np.arange(depth)[None, :]
    cell_x, cell_z = x // scale, z // scale
    s, t = (_ease((x % scale) / scale), _ease((z % scale) / scale))
    corners = [[unit(hash_grid(seed, cell_x + i, cell_z + j)) for j in (0, 1)] for i in (0, 1)]
    near = corners[0][0] * (1 - t) + corners[0][1] * t
    far = corners[1][0] * (1 - t) + corners[1][1] * t
    return near * (1 - s) + far * s


def _ease(x: np.ndarray) -> np.ndarray:
    return x * x * (3 - 2 * x)
