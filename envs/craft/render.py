"""A picture of the blocks: one ray a pixel, marched from cell to cell (Amanatides and Woo 1987)."""

from __future__ import annotations

import numpy as np

from playloop.envs.craft.exact import ahead, heading
from playloop.envs.craft.rays import draw
from playloop.envs.craft.textures import atlas

FIELD_OF_VIEW = 70.0
"""Vertical, in degrees."""


def view_plane(
    size: tuple[int, int], pitch: float, yaw: float, wide: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane one block ahead of the eye: its upper left corner, a pixel across, a pixel down.

    Args:
        size: (H, W) in pixels.
        pitch: degrees, downwards positive.
        yaw: degrees, clockwise from south (+z), as Minecraft counts.
        wide: factor of the plane's height.
    """
    height, width = size
    (sp, cp), (sy, cy) = heading(pitch), heading(yaw)
    down = np.array([sy * sp, -cp, -cy * sp])
    right = np.array([-cy, 0.0, -sy])
    sine, cosine = heading(FIELD_OF_VIEW / 2)
    pixel = 2 * wide * sine / cosine / height
    corner = ahead(pitch, yaw) - right * pixel * width / 2 - down * pixel * height / 2
    return corner, right * pixel, down * pixel


def render(
    grid: np.ndarray,
    eye: np.ndarray,
    pitch: float,
    yaw: float,
    size: tuple[int, int],
    light: float = 1.0,
    wide: float = 1.0,
) -> np.ndarray:
    """What is seen from `eye`, uint8 [H, W, 3].

    Args:
        grid: blocks, uint8 [X, Y, Z].
        eye: position, float64 [3], in blocks.
        pitch: degrees, downwards positive.
        yaw: degrees, clockwise from south.
        size: (H, W).
        light: of the day, 0 … 1.
        wide: factor of the view's height; more than 1 sees more.
    """
    image = np.empty((*size, 3), np.uint8)
    plane = view_plane(size, pitch, yaw, wide)
    draw(grid, atlas(), np.asarray(eye, np.float64), *plane, float(light), image)
    return image
