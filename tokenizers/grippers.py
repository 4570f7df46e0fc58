"""What a gripper's number means: as data sets store it, as networks learn it and as environments take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ROOM = 1e-3
"""By which a gripper's commands in data may exceed their range: rounding."""


@dataclass(frozen=True)
class Gripper:
    """How an environment takes a gripper that networks learn from 0 (shut) to 1 (open), as published ones do.

    Args:
        name: of the convention.
        meaning: in words.
        command: a decoded value, of any shape → the environment's command, float64.
        target: its inverse, for commands at the ends of their range.
    """

    name: str
    meaning: str
    command: Callable[[Tensor], Tensor]
    target: Callable[[Tensor], Tensor]


def _robosuite_command(value: Tensor) -> Tensor:
    """0 shut … 1 open → 2x - 1, its sign, turned round."""
    return -torch.sign(2 * value.double() - 1)


def _robosuite_target(command: Tensor) -> Tensor:
    """robosuite, too, moves by the sign alone."""
    return (command <= 0).double()


ROBOSUITE = Gripper(
    "robosuite",
    "0 shut, 1 open, cut at a half; given to robosuite as +1 closes, -1 opens",
    _robosuite_command,
    _robosuite_target,
)
OPENING = Gripper(
    "opening",
    "0 shut, 1 open, given on as it is; the robot's translator cuts it",
    torch.Tensor.double,
    torch.Tensor.double,
)
GRIPPERS = {gripper.name: gripper for gripper in (ROBOSUITE, OPENING)}
"""LIBERO: robosuite. Bridge and Fractal: opening, `agents.dialect` takes it from there."""

UNIT = "unit"
STORED: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    UNIT: ("0 shut, 1 open", torch.Tensor.double),
    "opening": ("-1 shut, 1 open", lambda value: (value.double() + 1) / 2),
    "closing": ("-1 open, 1 shut", lambda value: (1 - value.double()) / 2),
}
"""How data sets store a gripper: in words, and the way to 0 shut … 1 open, as published ones have it."""


def choose_stored(key: str, low: float, high: float, stated: str | None) -> str:
    """Name in `STORED` of how a data set stores its gripper, from the range of its values.

    Args:
        key: the data set's name.
        low: least value.
        high: largest one.
        stated: the name, for values from -1 to 1, whose direction no range tells.

    Raises:
        ValueError: it must be stated, is stated wrongly, or no way of storing has such values.
    """
    if stated is not None and stated not in STORED:
        raise ValueError(f"gripper={stated!r}: use one of {', '.join(STORED)}")
    spans = f"dataset_statistics.json says of {key} that the gripper goes from {low:g} to {high:g}"
    unit = low >= -ROOM and high <= 1 + ROOM and (high > 0.5 or low == high)
    if not unit and not (-1 - ROOM <= low <= -0.5 and high <= 1 + ROOM):
        raise ValueError(
            f"{spans}, and it is stored as 0 … 1 or -1 … 1 where a policy is known here; correct them"
        )
    if unit and stated in (None, UNIT):
        return UNIT
    if stated is None or unit or stated == UNIT:
        others = [(name, words) for name, (words, _) in STORED.items() if name != UNIT]
        listed = " or ".join(f"gripper={name} ({words})" for name, words in others)
        fix = "leave gripper out" if unit else f"give {listed}"
        raise ValueError(f"{spans}: {fix}")
    return stated
