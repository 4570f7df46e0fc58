"""What an action, a gripper's number, a picture and a success mean: ids with parameters.

Files and comparisons know ids and parameters. The words are for people and stand here alone: to correct them
changes no file and refuses no policy. An id that is not in `MEANINGS`, a sentence for instance, is a
convention of the user's own and describes itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import Formatter

Value = bool | int | float | str


@dataclass(frozen=True)
class Convention:
    """One convention; `str()` puts it into words.

    >>> str(Convention("goal-held", {"steps": 10}))
    'the goal holds for 10 steps running'
    >>> str(Convention("turn by 0.1 rad at full scale"))
    'turn by 0.1 rad at full scale'

    Args:
        id: of `MEANINGS`, or any other text.
        parameters: numbers, names and truths that belong to it.

    Raises:
        ValueError: a known id lacks a parameter, or has another one or another value than there are.
    """

    id: str
    parameters: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a convention needs an id")
        str(self)

    def __str__(self) -> str:
        if self.id not in MEANINGS:
            listed = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
            return f"{self.id} ({listed})" if listed else self.id
        sentence, optional = MEANINGS[self.id]
        needed = [name for _, name, _, _ in Formatter().parse(sentence) if name]
        if missing := [name for name in needed if name not in self.parameters]:
            raise ValueError(f"convention {self.id!r} needs {' and '.join(missing)}")
        if strange := sorted(self.parameters.keys() - {*needed, *optional}):
            known = ", ".join([*needed, *optional]) or "none"
            raise ValueError(f"convention {self.id!r} has no parameter {strange[0]!r}; there are {known}")
        said = {name: _words(self.id, name, value) for name, value in self.parameters.items()}
        return "; ".join([sentence.format_map(said), *(said[name] for name in optional if name in said)])


def altered(convention: Convention | str, **parameters: Value) -> Convention:
    """The same convention with these parameters instead or besides."""
    made = Convention(convention) if isinstance(convention, str) else convention
    return replace(made, parameters=made.parameters | parameters)


MEANINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    # actions
    "osc-pose-delta": ("OSC_POSE delta in the base frame, [-1, 1]: 1 = {translation}, {rotation} a step", ()),
    "ee-target-delta-pose": ("movement of the hand's target in the base frame, metres; {orientation}", ()),
    "ee-delta-pose": ("movement of the hand from where it is, in the base frame, metres; {orientation}", ()),
    "planar-velocity": ("velocity of the point in table widths, {scale} a step at full scale", ()),
    "minerl-1.0": (
        "MineRL 1.0: a button is held for the step if above 0.5, the camera turns by degrees (down, right)",
        ("escape_ends", "idle"),
    ),
    # grippers
    "closes-positive": ("-1 opens, +1 closes", ()),
    "opens-positive": ("+1 opens, -1 closes", ()),
    "relative-closes-positive": ("relative: +1 closes, -1 opens, 0 goes on", ()),
    "opening": ("how far it is to be open, 0 shut to 1 open", ()),
    # pictures
    "upright": ("upright", ("rotated", "background", "source", "resized")),
    # success
    "goal-held": ("the goal holds {steps}", ()),
    "goal-at-end": ("the goal holds at the last step, as SimplerEnv's evaluator judges", ()),
    "within": ("the distance to the goal is at most {distance} after an action", ()),
    "nodes-dug": ("{count} {node} nodes dug", ()),
    "craft-tasks": (
        "explore: always, at the end; treechop: four logs were picked up; navigate: the body is within two "
        "blocks of the tower; build: every cell of the plan holds its block",
        (),
    ),
    "minerl-tasks": ("the diamond shovel is obtained; other tasks have none: people judge BASALT's", ()),
    "always": ("always, at the end", ()),
    "none": ("none: free play", ()),
    "any": ("any: what a policy sees does not depend on it", ()),
}
"""Id → its words, with the parameters that it needs, and the names of those that it may have."""
PARAMETERS: dict[str, str | dict[Value | None, str]] = {
    "translation": "{:g} m",
    "rotation": "{:g} rad",
    "orientation": {
        "axis-angle": "its rotation about the base's axes, axis times angle, radians",
        "euler-xyz": "roll, pitch and yaw about fixed axes, radians",
    },
    "scale": "{:g}",
    "escape_ends": {True: "ESC ends the episode"},
    "idle": "{:s} do nothing",
    "rotated": "the simulator's picture rotated by {:g} degrees, as published LIBERO data",
    "background": {
        "photograph": "robot and objects over a photograph of the real place",
        "photograph-or-simulated": "robot and objects over a photograph of the real place, or all simulated",
    },
    "source": "from {:s} pixels",
    "resized": {
        "lanczos": "resized by Lanczos3 with antialiasing, the ratio not kept",
        "border": "resized bilinearly, the ratio kept, a black border",
        "area": "resized to means of the covered pixels (OpenCV's INTER_AREA), the ratio not kept",
        "pad": "resized by Pillow's bilinear filter, the ratio kept, a black border",
        "linear": "resized without smoothing (OpenCV's INTER_LINEAR)",
        "recording": "resized as recordings are (`core.images.resize`)",
    },
    "steps": {1: "at any step", None: "for {:d} steps running"},
    "distance": "{:g}",
    "count": "{:d}",
    "node": "{:s}",
}
"""Parameter → words for its values; a single text, or that of None, is a form for any number or name."""


def _words(id_: str, name: str, value: Value) -> str:
    known = PARAMETERS[name]
    choices: Mapping[Value | None, str] = {None: known} if isinstance(known, str) else known
    for choice, words in choices.items():
        if choice == value and type(choice) is type(value):
            return words
    form = choices.get(None)
    try:
        if form is None or isinstance(value, bool) or (not isinstance(value, str) and not value > 0):
            raise ValueError
        return form.format(value)
    except ValueError as error:
        listed = ", ".join(repr(choice) for choice in choices if choice is not None)
        fix = f"use {listed}" if form is None else "use a name" if ":s}" in form else "use a number above 0"
        raise ValueError(f"convention {id_!r}: {name}={value!r} is none; {fix}") from error
