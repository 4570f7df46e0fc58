"""A scripted expert for the Google robot of SimplerEnv: picks, moves, opens and closes from ground truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.base import Plan
from playloop.agents.google_robot.drawers import close_drawer, fill_drawer, open_drawer
from playloop.agents.google_robot.picking import GooglePhase, pick
from playloop.agents.scripted import Aim, ArmExpert, rotation_of
from playloop.core.annotations import Fraction, Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.episode import Episode
from playloop.core.kinds import kind

STUCK, TIMID = 0.002, 0.3
"""A hand that moved less than this in an action, metres, is sent so much of the next one."""


@kind("google-robot-expert")
@checked
class GoogleRobotExpertConfig:
    """A state machine over Cartesian steps.

    Args:
        gain: how much of the remaining way one action commands; the controller covers some four tenths of it.
        reach: longest step that is commanded, metres.
        turn: widest turn that is commanded, radians.
        hover: metres above an object from which the hand descends.
        disturbance: chance per decision of a few random actions, see `ArmExpert`.
    """

    gain: Positive = 1.5
    reach: Positive = 0.12
    turn: Positive = 0.5
    hover: Magnitude = 0.10
    disturbance: Fraction = 0.0

    def make(self) -> GoogleRobotExpert:
        """The agent."""
        return GoogleRobotExpert(self)


class GoogleRobotExpert(ArmExpert):
    """All five tasks; see `GoogleRobotExpertConfig`."""

    family = "simpler_google_robot"
    spans = (0.06,) * 3 + (0.2,) * 3

    def begin(self, episode: Episode) -> GooglePhase:
        return GooglePhase()

    def aim(
        self, carry: GooglePhase, truth: dict[str, np.ndarray], instruction: str, rng: np.random.Generator
    ) -> tuple[GooglePhase, Aim]:
        if "handle" not in truth:
            return pick(carry, truth, self.config.hover)
        if "pick" in truth:
            return fill_drawer(carry, truth, self.config.hover)
        return (close_drawer if instruction.startswith("close") else open_drawer)(carry, truth)

    def approach(self, carry: GooglePhase, truth: dict[str, np.ndarray], aim: Aim) -> np.ndarray:
        """In the base's axes."""
        config, hand = self.config, truth["eef"][:3]
        base = Rotation.from_euler("z", truth["base_yaw"][0]).inv()
        way = base.apply(aim.point - hand) * config.gain
        way /= max(1.0, float(np.linalg.norm(way)) / config.reach)
        wanted = Rotation.from_matrix(aim.rotation) * rotation_of(truth["eef"]).inv()
        turn = base.apply(wanted.as_rotvec()) * config.gain
        turn /= max(1.0, float(np.linalg.norm(turn)) / config.turn)
        step = np.concatenate([way, turn])
        # the controller stays where it finds no joints for a pose; a nearer one may have some
        stuck = carry.last is not None and np.linalg.norm(hand - carry.last) < STUCK
        return step * TIMID if stuck else step

    def decide(
        self, carry: GooglePhase, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[GooglePhase, Plan]:
        carry, plan = super().decide(carry, observation, rng)
        return replace(carry, last=observation["privileged"]["eef"][:3].copy()), plan
