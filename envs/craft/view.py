"""What the player sees: the world, what lies in it, and the display over it."""

from __future__ import annotations

import numpy as np

from playloop.envs.craft.boxes import draw_box, span_of
from playloop.envs.craft.game import DAY, Game
from playloop.envs.craft.hud import draw_hud
from playloop.envs.craft.render import render, view_plane
from playloop.envs.craft.textures import STAGES, cracks, item_texture

SWELL = 0.004
"""How far cracks stand out of their block, so that it does not hide them."""


def draw_view(game: Game, size: tuple[int, int], daylight: bool = False, hud: bool = True) -> np.ndarray:
    """The player's picture.

    Args:
        game: not changed.
        size: (H, W).
        daylight: whether the light follows the time of day; otherwise it is always noon.
        hud: draw crosshair, hotbar and hand.

    Returns:
        uint8 [H, W, 3].
    """
    body, light = game.body, light_at(game.ticks) if daylight else 1.0
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


def light_at(ticks: int) -> float:
    """Light of the day, 0.25 … 1: full at tick 0, darkest half a day later, in straight lines."""
    phase = ticks % DAY / DAY
    return 0.25 + 0.75 * min(1.0, max(0.0, abs(2 * phase - 1) * 2 - 0.5))
