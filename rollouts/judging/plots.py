"""Line plots as what their template draws: SVG that lives inside a page and takes its colours from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 10, 34
KNOWN = {"imagined": 0, "persistence": 2, "tokenizer": 3, "true": 4, "chance": 2}
"""Curves that have the same colour in every plot, by the number of the colour; others take the rest."""


def line_plot(
    curves: dict[str, np.ndarray],
    x: np.ndarray,
    label: str,
    bands: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
    x_label: str = "frames behind the context",
) -> dict[str, Any] | None:
    """Curves [n] over x [n], some with a band between low [n] and high [n]; None without a finite value.

    Returns:
        What the template draws: grid lines ("rows") and marks of the x axis ("columns"), each a position and
        a value; name → points "x,y x,y …" of "curves" and of the outlines of "bands"; name → "colors".
    """
    bands = bands or {}
    values = np.concatenate([*curves.values(), *(end for band in bands.values() for end in band)])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    ticks = nice_ticks(float(values.min()), float(values.max()))
    low, high = ticks[0], ticks[-1]

    def across(position: float) -> str:
        return f"{LEFT + (position - x[0]) / max(x[-1] - x[0], 1e-9) * (WIDTH - LEFT - RIGHT):.1f}"

    def up(value: float) -> str:
        return f"{HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM):.1f}"

    def path(xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(f"{across(a)},{up(b)}" for a, b in zip(xs, ys, strict=True) if np.isfinite(b))

    return {
        "label": label,
        "x_label": x_label,
        "rows": [(up(tick), tick) for tick in ticks],
        "columns": [(across(position), position) for position in nice_positions(x)],
        "curves": {name: path(x, curve) for name, curve in curves.items()},
        "bands": {
            name: f"{path(x, lower)} {path(x[::-1], upper[::-1])}" for name, (lower, upper) in bands.items()
        },
        "colors": _colors(list(curves)),
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": HEIGHT - BOTTOM,
    }


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers around low … high, which may be equal; at most `count` + 2."""
    high = max(high, low + max(abs(high) * 1e-3, 1e-6))
    return [float(tick) for tick in MaxNLocator(count, steps=(1, 2, 2.5, 5, 10)).tick_values(low, high)]


def nice_positions(x: np.ndarray) -> list[float]:
    """Where the x axis is marked."""
    ticks = [tick for tick in nice_ticks(float(x[0]), float(x[-1]), 8) if x[0] <= tick <= x[-1]]
    return ticks or [float(x[0])]


def _colors(names: list[str]) -> dict[str, int]:
    free = iter(number for number in range(5) if number not in {KNOWN[n] for n in names if n in KNOWN})
    return {name: KNOWN[name] if name in KNOWN else next(free, 4) for name in names}
