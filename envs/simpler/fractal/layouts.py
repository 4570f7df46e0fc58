"""Where the robot stands and what lies where at the start: the published placements of all five tasks.

Lengths in metres, angles in radians, world frame: the robot looks along -x, the table is before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

PICK, NEAR, OPEN, CLOSE, APPLE = range(5)
"""Numbers of the tasks."""
DRAWERS = ("top", "middle", "bottom")
QUARTER, HALF = np.pi / 2, np.pi

Angles = tuple[float, float, float]

ORIENTATIONS: dict[str, Angles] = {
    "horizontal": (0.0, 0.0, HALF),
    "standing": (QUARTER, 0.0, 0.0),
    "vertical": (0.0, 0.0, QUARTER),
}
"""How the can of "pick coke can" lies: roll, pitch, yaw. In the order in which SimplerEnv evaluates them."""
CAN_XS, CAN_YS = np.linspace(-0.35, -0.12, 5), np.linspace(-0.02, 0.42, 5)
APPLE_XS, APPLE_YS = np.linspace(-0.08, -0.02, 3), np.linspace(-0.02, 0.08, 3)

TRIPLETS = (
    ("blue plastic bottle", "pepsi can", "orange"),
    ("7up can", "apple", "sponge"),
    ("coke can", "redbull can", "apple"),
    ("sponge", "blue plastic bottle", "7up can"),
    ("orange", "pepsi can", "redbull can"),
)
"""The three objects of "move near" that share a table."""
TRIANGLES = (
    ((-0.33, 0.04), (-0.33, 0.34), (-0.13, 0.19)),
    ((-0.13, 0.04), (-0.33, 0.19), (-0.13, 0.34)),
)
"""Their two arrangements, x and y of each."""
PAIRS = tuple((source, target) for source in range(3) for target in range(3) if source != target)
POSES: dict[str, Angles] = {
    "blue plastic bottle": (QUARTER, 0.0, QUARTER),
    "orange": (0.0, 0.0, QUARTER),
    "sponge": (0.0, 0.0, QUARTER),
    "apple": (0.0, 0.0, 0.0),
}
"""Roll, pitch and yaw of the objects of "move near"; cans stand."""

PHOTO_BASES = {
    "a0": (0.644, -0.179, -0.03),
    "a1": (0.765, -0.182, -0.02),
    "a2": (0.889, -0.203, -0.06),
    "b0": (0.652, 0.009, 0.0),
    "b1": (0.752, 0.009, 0.0),
    "b2": (0.851, 0.035, 0.0),
    "c0": (0.665, 0.224, 0.0),
    "c1": (0.765, 0.222, -0.025),
    "c2": (0.865, 0.222, -0.025),
}
"""Photograph of the drawers → x, y and yaw of the robot that took it."""
JITTER = 0.02
"""Metres by which a fresh placement moves the robot or an object of "move near" from a published one."""


@dataclass(frozen=True)
class Placed:
    """An object and where it is let fall.

    Args:
        name: what instructions call it.
        xy: metres.
        angles: roll, pitch, yaw.
    """

    name: str
    xy: tuple[float, float]
    angles: Angles = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class FractalLayout:
    """The start of an episode, apart from how things look.

    Args:
        base: x and y of the robot, metres.
        yaw: of the robot, beyond the half turn that makes it look along -x.
        label: what distinguishes the layout in a report: orientation, drawer, triplet.
        photo: name of the photograph that was taken from there, without folder and suffix.
        objects: that are let fall onto the table.
        source: index of the object to move.
        target: index of the object to move it to.
        drawer: "top", "middle", "bottom" or none.
    """

    base: tuple[float, float]
    yaw: float
    label: str
    photo: str = ""
    objects: tuple[Placed, ...] = ()
    source: int = 0
    target: int = 0
    drawer: str = ""


@cache
def layouts(task: int, suite: str = "fractal") -> tuple[FractalLayout, ...]:
    """The published layouts of a task, in the published order.

    The two suites differ only where the robot stands before the drawers: "fractal" where the photographs were
    taken, "fractal_variants" on a grid.
    """
    if task == PICK:
        return tuple(
            can_layout(label, (float(x), float(y))) for label, x, y in product(ORIENTATIONS, CAN_XS, CAN_YS)
        )
    if task == NEAR:
        return tuple(
            near_layout(triplet, triangle, pair)
            for triplet, triangle, pair in product(range(len(TRIPLETS)), TRIANGLES, PAIRS)
        )
    if task == APPLE:
        return tuple(
            replace(layout, objects=(Placed("apple", (float(x), float(y))),))
            for layout, x, y in product(_drawer_layouts(suite, ("top",), True), APPLE_XS, APPLE_YS)
        )
    return tuple(_drawer_layouts(suite, DRAWERS, False))


def fresh(task: int, rng: np.random.Generator) -> FractalLayout:
    """A layout between and beside the published ones, for demonstrations."""
    if task == PICK:
        label = str(rng.choice(list(ORIENTATIONS)))
        x, y = rng.uniform((CAN_XS[0], CAN_YS[0]), (CAN_XS[-1], CAN_YS[-1]))
        return can_layout(label, (float(x), float(y)))
    layout = layouts(task)[int(rng.integers(len(layouts(task))))]
    if task == NEAR:
        return replace(layout, objects=tuple(_moved(placed, rng) for placed in layout.objects))
    shift = rng.uniform(-JITTER, JITTER, 2)
    layout = replace(
        layout,
        base=(layout.base[0] + float(shift[0]), layout.base[1] + float(shift[1])),
        yaw=layout.yaw + float(rng.uniform(-0.03, 0.03)),
    )
    if task == APPLE:
        x, y = rng.uniform((-0.10, 0.0), (-0.05, 0.1))
        layout = replace(layout, objects=(Placed("apple", (float(x), float(y))),))
    return layout


def can_layout(orientation: str, xy: tuple[float, float]) -> FractalLayout:
    """A can before the robot."""
    can = Placed("coke can", xy, ORIENTATIONS[orientation])
    return FractalLayout((0.35, 0.20), 0.0, orientation, "google_coke_can_real_eval_1", (can,))


def near_layout(triplet: int, spots: tuple, pair: tuple[int, int]) -> FractalLayout:
    """Three objects on the table, of which the first of the pair goes near the second."""
    names = TRIPLETS[triplet]
    objects = tuple(
        Placed(name, xy, POSES.get(name, (QUARTER, 0.0, 0.0))) for name, xy in zip(names, spots, strict=True)
    )
    label, photo = f"triplet {triplet}", "google_move_near_real_eval_1"
    return FractalLayout((0.35, 0.21), -0.09, label, photo, objects, pair[0], pair[1])


def _drawer_layouts(suite: str, drawers: tuple[str, ...], front: bool) -> list[FractalLayout]:
    """Drawer by drawer, the positions of the robot; with `front` only the three closest to the cabinet."""
    if suite == "fractal":
        bases = {name: base for name, base in PHOTO_BASES.items() if not front or name.endswith("0")}
        return [
            FractalLayout((x, y), yaw, f"{drawer} {name}", f"open_drawer_{name}", drawer=drawer)
            for drawer in drawers
            for name, (x, y, yaw) in bases.items()
        ]
    xs = (0.65,) if front else (0.65, 0.75, 0.85)
    return [
        FractalLayout((x, y), 0.0, f"{drawer} {x} {y}", drawer=drawer)
        for drawer, x, y in product(drawers, xs, (-0.2, 0.0, 0.2))
    ]


def _moved(placed: Placed, rng: np.random.Generator) -> Placed:
    shift = rng.uniform(-JITTER, JITTER, 2)
    return replace(placed, xy=(placed.xy[0] + float(shift[0]), placed.xy[1] + float(shift[1])))
