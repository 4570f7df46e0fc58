"""Contracts of format 1, whose conventions were sentences: recorded data keeps its meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from playloop.core.conventions import Convention

_TURNS = "MineRL 1.0: a button is held for the step if above 0.5, the camera turns by degrees; "
_PHOTOGRAPH = "upright; robot and objects over a photograph of the real place"
ACTIONS: Mapping[str, tuple[Convention, str | None]] = {
    "OSC_POSE delta in the base frame, [-1, 1]: 1 = 5 cm, 0.5 rad a step; gripper -1 opens, +1 closes": (
        Convention("osc-pose-delta", {"translation": 0.05, "rotation": 0.5}),
        "closes-positive",
    ),
    "movement of the hand's target in the base frame, metres; its rotation about the base's axes, axis times "
    "angle, radians; gripper +1 opens, -1 closes": (
        Convention("ee-target-delta-pose", {"orientation": "axis-angle"}),
        "opens-positive",
    ),
    "hand's movement along the base's axes in metres and its rotation vector about them in radians, from "
    "where it is; gripper relative, +1 closes, -1 opens, 0 goes on": (
        Convention("ee-delta-pose", {"orientation": "axis-angle"}),
        "relative-closes-positive",
    ),
    "velocity of the point in table widths, 0.05 a step at full scale": (
        Convention("planar-velocity", {"scale": 0.05}),
        None,
    ),
    "MineRL 1.0: keys held, then the turn of the view in degrees (down, right)": (
        Convention("minerl-1.0"),
        None,
    ),
    f"{_TURNS}ESC ends the episode": (Convention("minerl-1.0", {"escape_ends": True}), None),
    f"{_TURNS}ESC, pickItem and swapHands do nothing": (
        Convention("minerl-1.0", {"idle": "ESC, pickItem and swapHands"}),
        None,
    ),
}
IMAGES: Mapping[str, Convention] = {
    "upright: the simulator's picture rotated by 180 degrees, as published LIBERO data": Convention(
        "upright", {"rotated": 180}
    ),
    _PHOTOGRAPH: Convention("upright", {"background": "photograph"}),
    f"{_PHOTOGRAPH}, or all simulated": Convention("upright", {"background": "photograph-or-simulated"}),
    "upright: y grows downwards, as rows do": Convention("upright"),
    "upright, resized from 360 x 640 as recordings are (demos.resize)": Convention(
        "upright", {"source": "360 x 640", "resized": "recording"}
    ),
    "upright, resized from 360 x 640 without smoothing (OpenCV's INTER_LINEAR)": Convention(
        "upright", {"source": "360 x 640", "resized": "linear"}
    ),
}
SUCCESS: tuple[tuple[str, Callable[[str], Convention]], ...] = (
    (r"(the goal predicate|the goal|the task's own success check) holds at any step", lambda _: _held(1)),
    (r"the goal (?:predicate )?holds for ([1-9]\d{0,5}) steps running", lambda steps: _held(int(steps))),
    (r"(the goal) holds at the last step, .*", lambda _: Convention("goal-at-end")),
    (r"the point is within (0\.\d{1,6}) of .*", lambda far: Convention("within", {"distance": float(far)})),
    (
        r"([1-9]\d{0,5}) trunk nodes dug",
        lambda n: Convention("nodes-dug", {"count": int(n), "node": "trunk"}),
    ),
    (r"(explore): always, at the end; .*", lambda _: Convention("craft-tasks")),
    (r"(the diamond shovel) is obtained; .*", lambda _: Convention("minerl-tasks")),
    (r"(always), at the end", lambda _: Convention("always")),
    (r"(none): free play", lambda _: Convention("none")),
)

NOW = {"action": "action", "image_convention": "image", "success_rule": "success"}
"""Field of format 1 → its present name."""


def _held(steps: int) -> Convention:
    return Convention("goal-held", {"steps": steps})


def upgraded(record: Any) -> Any:
    """A contract's JSON of any format in the present one; an unknown sentence is a convention of its own."""
    if not isinstance(record, dict) or "image_convention" not in record:
        return record
    kept = {name: value for name, value in record.items() if name not in NOW}
    action, image, rule = (str(record.get(name)) for name in NOW)
    known = {"image_convention": IMAGES.get(image), "success_rule": _success(rule)}
    known["action"], gripper = ACTIONS.get(action, (None, None))
    for name, now in NOW.items():
        if name in record:
            kept[now] = _json(known[name] or record[name])
    return kept | {"gripper": _json(gripper)}


def _json(value: Any) -> Any:
    """A convention or the id of one as JSON; anything else as it is, to be refused by whoever reads it."""
    made = Convention(value) if isinstance(value, str) and value else value
    return asdict(made) if isinstance(made, Convention) else made


def _success(rule: str) -> Convention | None:
    found = ((re.fullmatch(pattern, rule), made) for pattern, made in SUCCESS)
    return next((made(match[1]) for match, made in found if match), None)
