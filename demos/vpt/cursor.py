"""The mouse cursor over an open GUI: the recorder leaves it out of the picture, so it is drawn again."""

from __future__ import annotations

import numpy as np

WINDOW = 720
"""Height of the window in which the recorder counts the mouse's position."""
HEIGHT = 24
"""The arrow's height in pixels of that window."""


def arrow(height: int) -> tuple[np.ndarray, np.ndarray]:
    """An arrow whose tip is the upper left corner: its outline and its inside, bool [height, width]."""
    rows, columns = np.ogrid[:height, : height // 2 + 1]
    shape = (columns <= rows) & (rows + columns < height)
    padded = np.pad(shape, 1)
    inside = shape & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return shape & ~inside, inside


def draw_cursor(image: np.ndarray, position: np.ndarray) -> np.ndarray:
    """A copy of an image uint8 [H, W, 3] with the cursor at `position` (x, y) of the recorder's window.

    Nothing is drawn where the position is NaN.
    """
    if not np.isfinite(position).all():
        return image
    image, scale = image.copy(), len(image) / WINDOW
    left, top = (round(float(value) * scale) for value in position)
    outline, inside = arrow(max(6, round(HEIGHT * scale)))  # a smaller one has no inside
    for mask, shade in ((outline, 0), (inside, 255)):
        rows, columns = np.nonzero(mask)
        rows, columns = rows + top, columns + left
        seen = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
        image[rows[seen], columns[seen]] = shade
    return image
