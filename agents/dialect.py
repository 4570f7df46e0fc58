"""Policies of the Bridge and Fractal data sets, fitted to SimplerEnv's robots.

They give a movement of the hand in metres, its rotation as roll, pitch and yaw in radians, and how far the
gripper is to be open, 0 … 1; they want smaller pictures. What comes between is what the published evaluators
do, declared as a fit: a policy made for the other robot is refused before it acts.
"""

from __future__ import annotations

from typing import Any, Literal

from playloop.agents.base import Agent
from playloop.agents.fit import Fit, View
from playloop.agents.fitted import FittedAgent, made
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.core.provenance import name_of
from playloop.policies.dialects import DIALECTS, Dialect


@kind("dialect")
@checked
class DialectConfig:
    """A policy of a data set as an agent in SimplerEnv.

    Args:
        policy: settings of the agent that is translated.
        dialect: "bridge" or "fractal".
        size: height and width of the pictures it gets.
        resize: "lanczos", "border" or "area", see `policies.resize.RESIZE`.
    """

    policy: Any
    dialect: Literal["bridge", "fractal"] = "bridge"
    size: tuple[Count, Count] = (224, 224)
    resize: Literal["lanczos", "border", "area"] = "lanczos"

    def make(self) -> FittedAgent:
        """The agent, the policy's checkpoint loaded."""
        return speaking(made(self.policy), DIALECTS[self.dialect], self.size, self.resize)


def speaking(inner: Agent, dialect: Dialect, size: tuple[int, int], resize: Any) -> FittedAgent:
    """A data set's policy in SimplerEnv."""
    fit = Fit(
        robot=dialect.robot,
        family=dialect.name,
        cameras={dialect.camera: View(dialect.camera, size, resize)},
        tells_resize=True,
        orientation="euler-xyz",
        gripper="opening",
        binary=not dialect.relative,
    )
    return FittedAgent(inner, fit, f"{name_of(inner)} translated from {dialect.name}")
