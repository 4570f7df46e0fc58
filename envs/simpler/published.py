"""Success rates that were published for SIMPLER's tasks (arXiv 2405.05941): real robots, and its simulator.

Google robot: Visual Matching. Policies: RT-1 at three stages of training, RT-1-X, RT-2-X, Octo.
"""

from __future__ import annotations

TASKS = {
    "bridge": ("spoon_on_towel", "carrot_on_plate", "stack_cube", "eggplant_in_basket"),
    "fractal": ("pick_coke_can", "move_near", "open_drawer", "close_drawer", "place_apple_in_drawer"),
}
"""Suite → its tasks' names in the tables, by number."""

_GOOGLE = ("rt-2-x", "rt-1-converged", "rt-1-15pct", "rt-1-x", "rt-1-begin", "octo-base")
_WIDOWX = ("rt-1-x", "octo-base", "octo-small")


def _google(*rates: float) -> dict[str, float]:
    return dict(zip(_GOOGLE, rates, strict=True))


def _widowx(*rates: float) -> dict[str, float]:
    return dict(zip(_WIDOWX, rates, strict=True))


REAL: dict[str, dict[str, float]] = {
    "pick_coke_can": _google(0.907, 0.853, 0.920, 0.760, 0.133, 0.293),
    "move_near": _google(0.733, 0.633, 0.583, 0.450, 0.017, 0.350),
    "open_drawer": _google(0.333, 0.815, 0.704, 0.519, 0.000, 0.148),
    "close_drawer": _google(0.630, 0.926, 0.889, 0.741, 0.000, 0.519),
    "place_apple_in_drawer": _google(0.074, 0.185, 0.185, 0.407, 0.000, 0.000),
    "spoon_on_towel": _widowx(0.000, 0.333, 0.417),
    "carrot_on_plate": _widowx(0.000, 0.250, 0.083),
    "stack_cube": _widowx(0.000, 0.000, 0.125),
    "eggplant_in_basket": _widowx(0.000, 0.250, 0.400),
}
"""Task → policy → success rate of the real robot."""

SIMULATED: dict[str, dict[str, float]] = {
    "pick_coke_can": _google(0.787, 0.857, 0.710, 0.567, 0.027, 0.170),
    "move_near": _google(0.779, 0.442, 0.354, 0.317, 0.050, 0.042),
    "open_drawer": _google(0.157, 0.601, 0.463, 0.296, 0.000, 0.009),
    "close_drawer": _google(0.343, 0.861, 0.667, 0.891, 0.278, 0.444),
    "place_apple_in_drawer": _google(0.037, 0.065, 0.130, 0.213, 0.000, 0.000),
    "spoon_on_towel": _widowx(0.000, 0.125, 0.472),
    "carrot_on_plate": _widowx(0.042, 0.083, 0.097),
    "stack_cube": _widowx(0.000, 0.000, 0.042),
    "eggplant_in_basket": _widowx(0.000, 0.431, 0.569),
}
"""Task → policy → success rate in the published simulator."""
