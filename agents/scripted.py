"""What the scripted experts share: the truth that they read, phases, disturbances, taking over."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.base import Plan, RowAgent
from playloop.core.contract import Contract

FREE = ("reach", "descend", "lift", "carry")
"""Phases in which the hand moves freely, so that it may be disturbed."""
UP = np.array([0.0, 0.0, 1.0])


class ScriptedExpert(RowAgent):
    """Decides by the ground truth, for the tasks of one family; `config` holds its settings."""

    family: ClassVar[str]
    reads = frozenset({"privileged"})
    rows = 64

    def __init__(self, config: Any) -> None:
        self.config = config

    def prepare(self, contract: Contract) -> None:
        if contract.family != self.family:
            raise ValueError(f"this expert drives {self.family}, not {contract.family}; use agent=expert")

    def watch(self, carry: Any, truth: dict[str, np.ndarray]) -> Any:
        """The carry that remembers the start of an episode which somebody else begins."""
        return carry

    def resume(self, carry: Any, truth: dict[str, np.ndarray]) -> Any:
        """The carry with which to take over from somebody else: as at the start, where that does as well."""
        return carry


@dataclass(frozen=True)
class Phase:
    """How far an episode's expert is; the carry of each expert adds what it remembers.

    Args:
        phase: name of what it does now.
        age: actions in this phase.
        tries: grasps that have failed.
        missing: the present grasp is meant to miss, so that its steps are not to be imitated.
    """

    phase: str = "reach"
    age: int = 0
    tries: int = 0
    missing: bool = False

    def enter(self, phase: str | None) -> Self:
        """The same with another phase begun; None stays in the present one."""
        return self if phase is None else replace(self, phase=phase, age=0)


@dataclass(frozen=True)
class Aim:
    """Where the hand should be, in the frame of the truth.

    Args:
        point: metres [3].
        gripper: its command.
        rotation: of the hand, in the form that the expert's `approach` takes.
    """

    point: np.ndarray
    gripper: float
    rotation: Any = None


class ArmExpert(ScriptedExpert):
    """Goes through phases: `aim` says where the hand should be in each, `approach` how it gets there.

    With a chance of `config.disturbance` per decision a freely moving hand takes some steps in one random
    direction. They are marked (`expert` = 0 in the plan's info), never to be imitated; what follows shows how
    to recover, which plain demonstrations never do.
    """

    spans: ClassVar[tuple[float, ...]]
    """Largest size of each component of a disturbance, from the first."""
    steps: ClassVar[tuple[int, int]] = (2, 4)
    """Fewest and most of a disturbance."""

    @abstractmethod
    def aim(
        self, carry: Any, truth: dict[str, np.ndarray], instruction: str, rng: np.random.Generator
    ) -> tuple[Any, Aim]:
        """The carry in the phase that the present state calls for, and where the hand should be in it."""

    @abstractmethod
    def approach(self, carry: Any, truth: dict[str, np.ndarray], aim: Aim) -> np.ndarray:
        """The action [6] that brings the hand nearer."""

    def decide(self, carry: Any, observation: dict[str, Any], rng: np.random.Generator) -> tuple[Any, Plan]:
        truth = observation.get("privileged", {})
        carry, aim = self.aim(carry, truth, observation.get("instruction", ""), rng)
        if carry.phase in FREE and rng.random() < self.config.disturbance:
            action = np.zeros(7, np.float32)
            action[: len(self.spans)] = rng.uniform(-np.asarray(self.spans), self.spans)
            action[6] = aim.gripper
            low, high = self.steps
            return carry, Plan(
                np.repeat(action[None], int(rng.integers(low, high + 1)), axis=0), {"expert": 0}
            )
        action = np.append(self.approach(carry, truth, aim), aim.gripper).astype(np.float32)
        return replace(carry, age=carry.age + 1), Plan(action[None], {"expert": int(not carry.missing)})


def rotation_of(pose: np.ndarray) -> Rotation:
    """The rotation of a pose [7], whose quaternion is (w, x, y, z)."""
    return Rotation.from_quat(pose[3:], scalar_first=True)


def slipped(truth: dict[str, np.ndarray], held: np.ndarray, least: float) -> bool:
    """Whether the object is farther than `least`, metres, from where it was in the hand.

    Args:
        truth: "eef" and "pick" of it.
        held: the hand minus the middle of the object's box, when it closed [3].
        least: metres.
    """
    return bool(np.linalg.norm(truth["eef"][:3] - truth["pick"].mean(0) - held) > least)
