"""What the scripted experts for arms share: an episode's phase, disturbances, rotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.base import Plan

FREE = ("reach", "descend", "lift", "carry")
"""Phases in which the hand moves freely, so that it may be disturbed."""


@dataclass(frozen=True)
class Phase:
    """How far an episode's expert is; the carry of each expert adds what it remembers.

    Args:
        phase: name of what it does now.
        age: actions in this phase.
        tries: grasps that have failed.
    """

    phase: str = "reach"
    age: int = 0
    tries: int = 0

    def enter(self, phase: str | None) -> Self:
        """The same with another phase begun; None stays in the present one."""
        return self if phase is None else replace(self, phase=phase, age=0)


def disturb(rng: np.random.Generator, gripper: float, spans: Sequence[float], steps: tuple[int, int]) -> Plan:
    """Some steps in one random direction, not to be imitated.

    Args:
        rng: draws direction and number.
        gripper: its command meanwhile.
        spans: largest size of each component of the motion, from the first.
        steps: least and most.
    """
    action = np.zeros(7, np.float32)
    action[: len(spans)] = rng.uniform(-np.asarray(spans), spans)
    action[6] = gripper
    return Plan(np.repeat(action[None], int(rng.integers(steps[0], steps[1] + 1)), axis=0), {"expert": 0})


def rotation_of(pose: np.ndarray) -> Rotation:
    """The rotation of a pose [7], whose quaternion is (w, x, y, z)."""
    return Rotation.from_quat(pose[3:], scalar_first=True)
