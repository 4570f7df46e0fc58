"""SimplerEnv's averages as published, each labelled by what it is a mean of.

Bridge: the unweighted mean of the four tasks, success and grasp apart. Fractal: a task's Visual Matching is
the mean over the four recolours of the robot, its Variant Aggregation the mean over the variants' means; the
drawers count half opened, half closed; the average is of coke can, move near and drawers, as in the papers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from playloop.core.results import EpisodeResult
from playloop.core.statistics import Average, mean_of_means, rate_of
from playloop.envs.simpler.fractal import protocol

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
        "Bridge average, success": lambda result: result.success,
        "Bridge average, grasp": lambda result: bool(result.info.get("grasped")),
    }
    found = []
    for label, flag in flags.items():
        parts = _rates(results, lambda result: names[result.episode.task], flag)
        if parts:
            found.append(mean_of_means(label, parts, len(names) * layouts))
    return found


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
