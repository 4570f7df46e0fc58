"""OpenVLA's action tokens: ids ↔ bins ↔ normalised values, and what a gripper's value means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from playloop.tokenizers.actions import ROOM, UniformBins

WORDS = 32000
"""Ids below it are the tokenizer's; the highest 256 of them stand for actions."""


@dataclass(frozen=True)
class Gripper:
    """What the last number of an action means, as data sets store it and as an environment takes it.

    Args:
        name: of the convention.
        meaning: in words.
        command: a decoded value, of any shape → the environment's command.
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
    return 1 - command.double().clamp(0, 1)


GRIPPERS = {
    "robosuite": Gripper(
        "robosuite",
        "0 shut, 1 open, cut at a half; given to robosuite as +1 closes, -1 opens",
        _robosuite_command,
        _robosuite_target,
    ),
    "opening": Gripper(
        "opening",
        "0 shut, 1 open, given on as it is; the robot's translator cuts it",
        torch.Tensor.double,
        torch.Tensor.double,
    ),
}
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


@dataclass(frozen=True)
class ActionVocabulary:
    """Normalised values ↔ ids 31744 … 31999, which descend as the value rises.

    Whatever is no action id decodes as published, without an error: ids below the range like its lowest, the
    highest value, and special tokens above it like its highest, the lowest value.

    Args:
        action: numbers of an action, one token each.
        bins: the bins of every number.
    """

    action: int = 7
    bins: UniformBins = field(default_factory=lambda: UniformBins(WORDS))

    def encode(self, values: Tensor) -> Tensor:
        """Normalised [..., H, A] → int64 ids [..., H · A].

        Raises:
            ValueError: actions of another size.
        """
        if values.shape[-1] != self.action:
            raise ValueError(f"actions have {values.shape[-1]} numbers, not {self.action}")
        return self.bins.encode(values).flatten(-2)

    def decode(self, ids: Tensor) -> Tensor:
        """Ids [..., H · A] → normalised values, float64 [..., H, A].

        Raises:
            ValueError: they do not make whole actions.
        """
        if ids.shape[-1] % self.action:
            raise ValueError(f"{ids.shape[-1]} tokens do not make actions of {self.action}")
        return self.bins.decode(ids).unflatten(-1, (-1, self.action))

    def strange(self, ids: Tensor) -> Tensor:
        """Which ids [...] are no action ids: worth counting, since nothing else tells of them."""
        return (ids < self.bins.ids[0]) | (ids > self.bins.ids[-1])
