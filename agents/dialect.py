"""Policies of the Bridge and Fractal data sets, translated for SimplerEnv's robots.

They turn by roll, pitch and yaw, say how far the gripper is to be open, and want smaller pictures; what comes
between is what the published evaluators do. Each convention is declared as a contract: a policy made for the
other robot is refused before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from playloop.agents.base import Agent, Plan
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.content import provenance_of
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.envs.simpler.actions import Grip, absolute_gripper, axis_angle_of, relative_gripper
from playloop.policies.dialects import DIALECTS, RESIZE, Dialect, dialect_contract
from playloop.policies.resampling import check_shrinks


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
    dialect: str = "bridge"
    size: tuple[Count, Count] = (224, 224)
    resize: str = "lanczos"

    def make(self) -> DialectAgent:
        """The agent, the policy's checkpoint loaded."""
        for name, value, known in (
            ("dialect", self.dialect, DIALECTS),
            ("resize", self.resize, RESIZE),
        ):
            if value not in known:
                raise ValueError(f"agent.{name}={value!r}: use one of {', '.join(known)}")
        inner = self.policy.make() if hasattr(self.policy, "make") else self.policy
        return DialectAgent(inner, DIALECTS[self.dialect], (self.size[0], self.size[1]), self.resize)


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

    def contract(self, robot: Contract) -> Contract:
        """See `dialect_contract`."""
        return dialect_contract(self.dialect, robot, self.size, self.resize)

    def prepare(self, contract: Contract) -> None:
        if contract.family != self.dialect.robot:
            raise ValueError(
                f"policies of {self.dialect.name} drive {self.dialect.robot}, the environment has "
                f"{contract.family}; choose the suite or the agent.dialect that fits"
            )
        if self.resize == "area":
            for shown in contract.cameras.values():
                check_shrinks(shown, self.size)
        self.inner.prepare(self.contract(contract))

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
    """Actions of a data set [H, 7], all of which will be executed, → the robot's float32 [H, 7]."""
    found = np.array(actions, np.float64)
    found[:, 3:6] = axis_angle_of(found[:, 3:6])
    for index, opening in enumerate(np.asarray(actions, float)[:, 6]):
        if relative:
            grip, found[index, 6] = relative_gripper(grip, opening)
        else:
            found[index, 6] = absolute_gripper(opening)
    return grip, found.astype(np.float32)
