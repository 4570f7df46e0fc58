"""A scripted expert for the Google robot of SimplerEnv: picks, moves, opens and closes from ground truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from playloop.agents.base import Plan, RowAgent
from playloop.agents.google_robot.drawers import close_drawer, fill_drawer, open_drawer
from playloop.agents.google_robot.motion import GooglePhase, step_towards
from playloop.agents.google_robot.picking import pick
from playloop.core.annotations import Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind

FAMILY = "simpler_google_robot"
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
    """

    gain: Positive = 1.5
    reach: Positive = 0.12
    turn: Positive = 0.5
    hover: Magnitude = 0.10

    def make(self) -> GoogleRobotExpert:
        """Construct the agent."""
        return GoogleRobotExpert(self)


class GoogleRobotExpert(RowAgent):
    """All five tasks; see `GoogleRobotExpertConfig`."""

    reads = frozenset({"privileged"})
    rows = 64

    def __init__(self, config: GoogleRobotExpertConfig | None = None) -> None:
        self.config = config or GoogleRobotExpertConfig()

    def prepare(self, contract: Contract) -> None:
        if contract.family != FAMILY:
            raise ValueError(f"this expert drives {FAMILY}, not {contract.family}; use agent=expert")

    def begin(self, episode: Episode) -> GooglePhase:
        return GooglePhase()

    def decide(
        self, carry: GooglePhase, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[GooglePhase, Plan]:
        config, truth, text = self.config, observation["privileged"], observation["instruction"]
        if "handle" in truth and "pick" in truth:
            carry, aim = fill_drawer(carry, truth, config.hover)
        elif "handle" in truth:
            carry, aim = (close_drawer if text.startswith("close") else open_drawer)(carry, truth)
        else:
            carry, aim = pick(carry, truth, config.hover)
        step = step_towards(aim, truth, config.gain, config.reach, config.turn)
        hand = truth["eef"][:3].copy()
        if carry.last is not None and np.linalg.norm(hand - carry.last) < STUCK:
            # the controller stays where it finds no joints for a pose; a nearer one may have some
            step = step * TIMID
        action = np.append(step, aim.gripper).astype(np.float32)
        return replace(carry, age=carry.age + 1, last=hand), Plan(action[None])
