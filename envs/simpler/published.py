"""What is published of SIMPLER's tasks (arXiv 2405.05941): success rates, and how they are averaged.

Rates are of real robots and of its simulator; Google robot: Visual Matching. Policies: RT-1 at three stages
of training, RT-1-X, RT-2-X, Octo.

Averages are labelled by what they are of. Bridge: the unweighted mean of the four tasks, success apart from
grasp. Fractal: a task's Visual Matching is the mean over the four recolours of the robot, its Variant
Aggregation the mean over the variants' means; the drawers count half opened, half closed; the average is of
coke can, move near and drawers, as in the papers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from playloop.core.results import EpisodeResult
from playloop.core.statistics import Average, mean_of_means, rate_of
from playloop.envs.simpler.fractal import protocol

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

TITLES = {"fractal": "Visual Matching", "fractal_variants": "Variant Aggregation"}
DRAWERS = ("open drawer", "close drawer")
PAPER = ("pick coke can", "move near", "drawers")
"""The three columns whose mean is a paper's Visual Matching or Variant Aggregation."""


def bridge_averages(results: Sequence[EpisodeResult], names: Sequence[str], layouts: int) -> list[Average]:
    """Success and, apart from it, grasps.

    Args:
        results: judged ones of the suite.
        names: of the tasks.
        layouts: of each task.
    """
    flags: dict[str, Callable[[EpisodeResult], bool]] = {
        "success": lambda result: result.success,
        "grasp": lambda result: bool(result.info.get("grasped")),
    }
    return [
        mean_of_means(f"Bridge average, {label}", parts, len(names) * layouts)
        for label, flag in flags.items()
        if (parts := _rates(results, lambda result: names[result.episode.task], flag))
    ]


def fractal_averages(results: Sequence[EpisodeResult], suite: str) -> list[Average]:
    """A line a task, one for the drawers together, and the papers' average of three.

    Args:
        results: judged ones of the suite.
        suite: "fractal" or "fractal_variants".
    """
    title, tasks = TITLES[suite], {}
    for task, name in enumerate(protocol.NAMES):
        mine = [result for result in results if result.episode.task == task]
        parts = _rates(mine, lambda result: protocol.describe(result.episode)["group"], lambda r: r.success)
        if parts:
            tasks[name] = mean_of_means(f"{title}, {name}", parts, protocol.count(task, suite))
    if set(DRAWERS) <= set(tasks):
        tasks["drawers"] = mean_of_means(f"{title}, drawers", [tasks[name] for name in DRAWERS])
    found = list(tasks.values())
    if set(PAPER) <= set(tasks):
        label = f"{title}, average of {', '.join(PAPER)}"
        found.append(mean_of_means(label, [tasks[name] for name in PAPER]))
    return found


def _rates(
    results: Sequence[EpisodeResult],
    group: Callable[[EpisodeResult], Hashable],
    flag: Callable[[EpisodeResult], bool],
) -> list[Average]:
    groups: dict[Hashable, list[bool]] = {}
    for result in results:
        groups.setdefault(group(result), []).append(flag(result))
    return [rate_of(str(name), found) for name, found in groups.items()]
