"""Line plots as SVG that lives inside a page and takes its colours from it."""

from __future__ import annotations

import math
from html import escape

import numpy as np

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
) -> str:
    """Curves [n] over x [n], some with a band between low [n] and high [n], and a legend below."""
    bands = bands or {}
    values = np.concatenate([*curves.values(), *(end for band in bands.values() for end in band)])
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    ticks = nice_ticks(float(values.min()), float(values.max()))
    low, high = ticks[0], ticks[-1]

    def at(position: float, value: float) -> str:
        across = (position - x[0]) / max(x[-1] - x[0], 1e-9)
        up = (value - low) / (high - low)
        left, top = LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)
        return f"{left:.1f},{top:.1f}"

    def path(xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(at(a, b) for a, b in zip(xs, ys, strict=True) if np.isfinite(b))

    parts = [_grid(tick, at(x[0], tick), at(x[-1], tick)) for tick in ticks]
    parts += [_mark(position, at(position, low)) for position in nice_positions(x)]
    colors = _colors(list(curves))
    for name, (lower, upper) in bands.items():
        outline = path(x, lower) + " " + path(x[::-1], upper[::-1])
        parts.append(f'<polygon points="{outline}" style="fill:{colors[name]}" opacity=".16"/>')
    for name, values in curves.items():
        parts.append(f'<polyline points="{path(x, values)}" style="stroke:{colors[name]}"/>')
    keys = "".join(
        f'<span><i style="background:{color}"></i>{escape(name)}</span>' for name, color in colors.items()
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    drawn = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
    caption, legend = f"<figcaption>{escape(label)}</figcaption>", f'<div class="keys note">{keys}</div>'
    return f'<figure class="plot">{caption}{drawn}{legend}</figure>'


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers around low … high, at most `count` + 2."""
    span = max(high - low, abs(high) * 1e-3, 1e-6)
    power = 10 ** math.floor(math.log10(span / count))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= span / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def nice_positions(x: np.ndarray) -> list[float]:
    """Where the x axis is marked."""
    ticks = [tick for tick in nice_ticks(float(x[0]), float(x[-1]), 8) if x[0] <= tick <= x[-1]]
    return ticks or [float(x[0])]


def _colors(names: list[str]) -> dict[str, str]:
    free = iter(number for number in range(5) if number not in {KNOWN[n] for n in names if n in KNOWN})
    return {name: f"var(--line-{KNOWN[name] if name in KNOWN else next(free, 4)})" for name in names}


def _grid(value: float, start: str, end: str) -> str:
    (left, y), (right, _) = start.split(","), end.split(",")
    return (
        f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{value:g}</text>'
    )


def _mark(value: float, place: str) -> str:
    left = place.split(",")[0]
    return f'<text x="{left}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>'
