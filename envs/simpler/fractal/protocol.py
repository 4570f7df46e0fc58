"""Which episodes there are, what they are called and how their results are averaged.

Visual Matching (suite "fractal"): the mean over four recolourings of the robot. Variant Aggregation (suite
"fractal_variants"): the unweighted mean over the means of the variants. `describe` names what to average by.
Source: SimplerEnv's evaluation scripts and its `calc_metrics_evaluation_videos.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from playloop.core.episode import FRESH, Episode
from playloop.envs.simpler.fractal.layouts import APPLE, CLOSE, NEAR, PICK, FractalLayout, fresh, layouts
from playloop.envs.simpler.fractal.looks import Look, looks

SUITES = ("fractal", "fractal_variants")
NAMES = ("pick coke can", "move near", "open drawer", "close drawer", "place apple in closed drawer")
HORIZONS = (80, 80, 113, 113, 200)
"""Most actions in an episode, task by task."""
SUBTASK_STEPS = 100
"""Actions after which "place apple in closed drawer" goes on from opening to placing."""


@dataclass(frozen=True)
class Setup:
    """An episode in full."""

    task: int
    layout: FractalLayout
    look: Look


def count(task: int, suite: str = "fractal") -> int:
    """How many initial states a task has: appearances times layouts."""
    return len(looks(task, suite)) * len(layouts(task, suite))


def check(suite: str, task: int, init: int = 0) -> None:
    """Refuse what the suite does not have.

    Raises:
        ValueError: one sentence with the choices.
    """
    if suite not in SUITES:
        raise ValueError(f"no suite {suite!r}; choose from {', '.join(SUITES)}")
    if not 0 <= task < len(NAMES):
        raise ValueError(f"{suite} has tasks 0 to {len(NAMES) - 1}, not {task}")
    if init != FRESH and not 0 <= init < count(task, suite):
        raise ValueError(f"{suite} task {task} has initial states 0 to {count(task, suite) - 1}, not {init}")


def setup(episode: Episode) -> Setup:
    """What an episode's identity stands for; `FRESH` draws a layout and an appearance from it."""
    suite, task = episode.suite, episode.task
    check(suite, task, episode.init)
    kinds = looks(task, suite)
    if episode.init == FRESH:
        rng = episode.rng("placement")
        look = kinds[int(rng.integers(len(kinds)))] if suite == "fractal" else kinds[0]
        return Setup(task, fresh(task, rng), look)
    which, layout = divmod(episode.init, len(layouts(task, suite)))
    return Setup(task, layouts(task, suite)[layout], kinds[which])


def instruction(chosen: Setup, steps: int = 0) -> str:
    """The instruction after so many actions; only the apple's sentence changes, half-way."""
    layout = chosen.layout
    names = [placed.name for placed in layout.objects]
    if chosen.task == PICK:
        return f"pick {names[0]}"
    if chosen.task == NEAR:
        return f"move {names[layout.source]} near {names[layout.target]}"
    if chosen.task == CLOSE:
        return f"close {layout.drawer} drawer"
    if chosen.task == APPLE and steps > SUBTASK_STEPS:
        return f"place {names[0]} into {layout.drawer} drawer"
    return f"open {layout.drawer} drawer"


def describe(episode: Episode) -> dict[str, str]:
    """Labels for a report: "group" is what to average over first, then its means with equal weight."""
    chosen = setup(episode)
    kind = "recolour" if episode.suite == "fractal" else "variant"
    labels = {"task": NAMES[episode.task], "group": chosen.look.name, kind: chosen.look.name}
    key = {PICK: "orientation", NEAR: "objects"}.get(episode.task, "drawer")
    return labels | {key: chosen.layout.drawer or chosen.layout.label}
