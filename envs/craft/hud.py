"""What lies over the picture: crosshair, hotbar, the hand, the open inventory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from playloop.envs.craft.game import SWING, Game
from playloop.envs.craft.inventory import HOTBAR, SLOTS
from playloop.envs.craft.textures import HANDLE, SKIN, digits, icon

EDGE, SELECTED, BACK, LABEL = (52, 52, 56), (244, 244, 244), (112, 112, 118), (250, 250, 210)


def draw_hud(game: Game, image: np.ndarray) -> None:
    """Draw over a picture uint8 [H, W, 3], in place."""
    _draw_hand(game, image)
    row, column = image.shape[0] // 2, image.shape[1] // 2
    arm = max(1, image.shape[0] // 60)
    for cross in (image[row, column - arm : column + arm + 1], image[row - arm : row + arm + 1, column]):
        cross[:] = 255 - cross // 2
    _draw_row(game, image, 0, image.shape[0] - slot_size(image.shape[1]) - 1)
    if game.screen_open:
        _draw_screen(game, image)


def slot_size(width: int) -> int:
    """Side of a slot with one edge, in pixels."""
    return max(6, width * 6 // 100)


@lru_cache(maxsize=512)
def slots_row(slots: tuple[tuple[int, int], ...], selected: int, size: int) -> np.ndarray:
    """A row of slots with (item, count) each, uint8 [size + 1, size · n + 1, 3]; -1 selects none."""
    row = np.empty((size + 1, size * len(slots) + 1, 3), np.uint8)
    row[:] = EDGE
    for number, (item, count) in enumerate(slots):
        inside = row[1:size, 1 + number * size : (number + 1) * size]
        inside[:] = BACK
        if item:
            picture = icon(item, size - 1)
            np.copyto(inside, picture, where=picture.any(-1, keepdims=True))
        if count > 1 and size >= 14:
            label = digits(count)
            inside[-6:-1, -1 - label.shape[1] : -1][label] = LABEL
    if selected >= 0:
        left = selected * size
        frame = row[:, left : left + size + 1]
        frame[0], frame[-1], frame[:, 0], frame[:, -1] = SELECTED, SELECTED, SELECTED, SELECTED
    return row


def _draw_row(game: Game, image: np.ndarray, start: int, top: int) -> None:
    """Nine slots from `start` on, in the middle."""
    pockets, end = game.inventory, start + HOTBAR
    slots = tuple(zip(pockets.kinds[start:end], pockets.counts[start:end], strict=True))
    strip = slots_row(slots, -1 if start else pockets.selected, slot_size(image.shape[1]))
    left = (image.shape[1] - strip.shape[1]) // 2
    image[top : top + strip.shape[0], left : left + strip.shape[1]] = strip


def _draw_hand(game: Game, image: np.ndarray) -> None:
    """The held item, or the bare hand; it strikes towards the middle while it swings."""
    height, width = image.shape[:2]
    size = max(8, height * 22 // 100)
    phase = (SWING - game.swing) % SWING / SWING
    strike = phase * (1 - phase) * 4
    top = height - size - slot_size(width) + size // 3 - round(strike * height * 0.14)
    left = width - size - round(strike * width * 0.2)
    item = game.inventory.held
    picture = icon(item, size) if item else _bare_hand(size)
    area = image[top : top + size, left : left + size]
    picture = picture[: area.shape[0], : area.shape[1]]
    np.copyto(area, picture, where=picture.any(-1, keepdims=True))


@lru_cache(maxsize=8)
def _bare_hand(size: int) -> np.ndarray:
    row, column = np.mgrid[:size, :size]
    picture = np.zeros((size, size, 3), np.uint8)
    picture[(row > column * 0.6 - size * 0.1) & (row + column > size * 0.55)] = SKIN
    picture[row + column > size * 1.6] = HANDLE
    return picture


def _draw_screen(game: Game, image: np.ndarray) -> None:
    """The open inventory over a darkened picture."""
    image //= 3
    size = slot_size(image.shape[1])
    top = (image.shape[0] - 4 * size) // 2
    for number, start in enumerate((*range(HOTBAR, SLOTS, HOTBAR), 0)):
        _draw_row(game, image, start, top + number * size)
