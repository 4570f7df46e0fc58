"""Policies of the Bridge and Fractal data sets, translated for SimplerEnv's robots.

They give a movement of the hand in metres, its rotation as roll, pitch and yaw in radians, and how far the
gripper is to be open, 0 … 1; they want smaller pictures. What comes between is what the published evaluators
do. Each convention is declared as a contract: a policy made for the other robot is refused before it acts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.base import Agent, Plan
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.content import provenance_of
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.provenance import name_of
from playloop.policies.dialects import DIALECTS, RESIZE, Dialect, check_shrinks, dialect_contract

STICKY = 15
"""Steps for which the Google robot's gripper goes on with a command."""
THRESHOLD = 0.5


@kind("dialect")
@checked
class DialectConfig:
    """A policy of a data set as an agent in SimplerEnv.

    Args:
        policy: settings of the agent that is translated.
        dialect: "bridge" or "fractal".
        size: height and width of the pictures it gets.
        resize: "lanczos", "border" or "area", see `RESIZE`.
    """

    policy: Any
    dialect: Literal["bridge", "fractal"] = "bridge"
    size: tuple[Count, Count] = (224, 224)
    resize: Literal["lanczos", "border", "area"] = "lanczos"

    def make(self) -> DialectAgent:
        """The agent, the policy's checkpoint loaded."""
        inner = self.policy.make() if hasattr(self.policy, "make") else self.policy
        return DialectAgent(inner, DIALECTS[self.dialect], self.size, self.resize)


@dataclass(frozen=True)
class Grip:
    """What the Google robot's gripper remembers.

    Args:
        opening: that the policy chose last, None before its first action.
        command: that goes on.
        left: steps for which it does.
    """

    opening: float | None = None
    command: float = 0.0
    left: int = 0


@dataclass(frozen=True)
class Carry:
    """The policy's own memory, and the gripper's."""

    inner: Any
    grip: Grip = field(default_factory=Grip)


class DialectAgent:
    """See `agents.base.Agent`."""

    def __init__(self, inner: Agent, dialect: Dialect, size: tuple[int, int], resize: str) -> None:
        self.inner, self.dialect, self.size, self.resize = inner, dialect, size, resize
        self.reads, self.rows = inner.reads, inner.rows
        self.name = f"{name_of(inner)} translated from {dialect.name}"

    def prepare(self, contract: Contract) -> None:
        if contract.family != self.dialect.robot:
            raise ValueError(
                f"policies of {self.dialect.name} drive {self.dialect.robot}, the environment has "
                f"{contract.family}; choose the suite or the agent.dialect that fits"
            )
        if self.resize == "area":
            for shown in contract.cameras.values():
                check_shrinks(shown, self.size)
        self.inner.prepare(dialect_contract(self.dialect, contract, self.size, self.resize))

    def provenance(self) -> dict[str, Any]:
        """The policy's own, and how it is translated."""
        own = {"dialect": self.dialect.name, "size": list(self.size), "resize": self.resize}
        return {**provenance_of(self.inner), **own}

    def begin(self, episode: Episode) -> Carry:
        return Carry(self.inner.begin(episode))

    def act(
        self, carries: list[Carry], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Carry], list[Plan]]:
        shown = [self._show(observation) for observation in observations]
        inner, plans = self.inner.act([carry.inner for carry in carries], shown, rngs)
        after, translated = [], []
        for carry, own, plan in zip(carries, inner, plans, strict=True):
            grip, actions = translate(carry.grip, plan.actions, self.dialect.relative)
            after.append(Carry(own, grip))
            translated.append(replace(plan, actions=actions))
        return after, translated

    def _show(self, observation: dict[str, Any]) -> dict[str, Any]:
        if "images" not in observation:
            return observation
        resize = RESIZE[self.resize]
        images = {name: resize(image, self.size) for name, image in observation["images"].items()}
        return {**observation, "images": images}


def translate(grip: Grip, actions: np.ndarray, relative: bool) -> tuple[Grip, np.ndarray]:
    """Actions of a data set [H, 7], all of which will be executed, → the robot's float32 [H, 7].

    Roll, pitch and yaw about the fixed axes x, y, z, in this order, become axis times angle: of at most half
    a turn, what `transforms3d.euler2axangle` gives, as published. The WidowX's gripper is opened (+1) or
    closed (-1), for the Google robot's see `relative_gripper`.
    """
    found = np.array(actions, np.float64)
    found[:, 3:6] = Rotation.from_euler("xyz", found[:, 3:6]).as_rotvec()
    for index, opening in enumerate(np.asarray(actions, float)[:, 6]):
        if relative:
            grip, found[index, 6] = relative_gripper(grip, opening)
        else:
            found[index, 6] = 2.0 * (opening > THRESHOLD) - 1.0
    return grip, found.astype(np.float32)


def relative_gripper(grip: Grip, opening: float) -> tuple[Grip, float]:
    """Google robot: what is commanded → how much more closed than before, +1 closes, -1 opens.

    One step of a change is too short for the gripper to get there. A change of more than a half is therefore
    given again for `STICKY` steps in all, during which whatever else is commanded does not count.
    """
    change = 0.0 if grip.opening is None else grip.opening - opening
    command, left = (grip.command, grip.left) if grip.left else (change, 0)
    if not left and abs(change) > THRESHOLD:
        left = STICKY
    left = max(left - 1, 0)
    return Grip(opening, command if left else 0.0, left), command
