"""What the player sees: the world, what lies in it, and the display over it."""

from __future__ import annotations

import numpy as np

from playloop.envs.craft.boxes import draw_box, span_of
from playloop.envs.craft.exact import ahead, heading
from playloop.envs.craft.game import DAY, Game
from playloop.envs.craft.hud import draw_hud
from playloop.envs.craft.rays import draw
from playloop.envs.craft.textures import STAGES, atlas, cracks, item_texture

FIELD_OF_VIEW = 70.0
"""Vertical, in degrees."""
SWELL = 0.004
"""How far cracks stand out of their block, so that it does not hide them."""


def view_plane(
    size: tuple[int, int], pitch: float, yaw: float, wide: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane one block ahead of the eye: its upper left corner, a pixel across, a pixel down.

    Args:
        size: (H, W) in pixels.
        pitch: degrees, downwards positive.
        yaw: degrees, clockwise from south (+z), as Minecraft counts.
        wide: factor of the plane's height; more than 1 sees more.
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
        pitch, yaw, size, wide: see `view_plane`.
        light: of the day, 0 … 1.
    """
    image, plane = np.empty((*size, 3), np.uint8), view_plane(size, pitch, yaw, wide)
    draw(grid, atlas(), np.asarray(eye, np.float64), *plane, float(light), image)
    return image


def draw_view(game: Game, size: tuple[int, int], daylight: bool = False, hud: bool = True) -> np.ndarray:
    """The player's picture, uint8 [H, W, 3].

    Args:
        game: not changed.
        size: (H, W).
        daylight: whether the light follows the time of day; otherwise it is always noon.
        hud: draw crosshair, hotbar and hand.
    """
    body, light = game.body, 1.0
    if daylight:  # full at tick 0, darkest half a day later, in straight lines
        light = 0.25 + 0.75 * min(1.0, max(0.0, abs(2 * (game.ticks % DAY / DAY) - 1) * 2 - 0.5))
    image = render(game.grid, body.eye, body.pitch, body.yaw, size, light, game.view)
    plane = view_plane(size, body.pitch, body.yaw, game.view)
    boxes = [(drop.box, item_texture(drop.item), False) for drop in game.drops]
    boxes.sort(key=lambda entry: -float(np.abs(entry[0][:3] - body.eye).sum()))
    if game.digging:
        cell = np.array(game.digging.cell, np.float64)
        stage = min(int(game.digging.progress * STAGES), STAGES - 1)
        boxes.append((np.concatenate([cell - SWELL, cell + 1 + SWELL]), cracks(stage), True))
    for box, texture, cracked in boxes:
        if (span := span_of(box, body.eye, plane, size)) is not None:
            draw_box(game.grid, texture, cracked, box, body.eye, *plane, light, span, image)
    if hud:
        draw_hud(game, image)
    return image
