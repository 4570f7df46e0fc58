"""A scripted expert that picks an object up and puts it down, from ground-truth poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.base import Plan, RowAgent
from playloop.agents.grasps import WIDEST_GRASP, Grasp, rank_grasps
from playloop.agents.phases import FREE, Phase, disturb
from playloop.core.annotations import Fraction, Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind

OPEN, CLOSE = -1.0, 1.0
METRES_PER_ACTION = 0.05
WALLS = 0.04
"""Obstacles nearer than this to the object, metres, must be lifted over before the hand moves aside."""
NOTICE = 0.08
"""Chance per step that a grasp that was meant to miss is noticed."""


@kind("panda-expert")
@checked
class PandaExpertConfig:
    """Pick-and-place by a state machine.

    Args:
        hover: metres above the object from which the hand descends.
        gain: how much of the remaining way one action commands; 1 is all of it, saturated at 5 cm; more
            than 1 makes up for the controller's steady-state error.
        disturbance: chance per decision that a few random actions are injected while the hand moves freely.
            They are marked (`expert` = 0 in the plan's info) and never to be imitated; what follows shows how
            to recover, which plain demonstrations never do.
        misses: chance that the first grasp closes beside the object and the expert takes a while to notice;
            marked likewise, up to the moment it notices. A policy that never saw a miss carries nothing to
            the goal.
    """

    hover: Magnitude = 0.10
    gain: Positive = 1.5
    disturbance: Fraction = 0.0
    misses: Fraction = 0.0

    def make(self) -> PandaExpert:
        """Construct the agent."""
        return PandaExpert(self)


@dataclass(frozen=True)
class PandaPhase(Phase):
    """What is remembered of an episode.

    Args:
        upright: the hand's rotation at the start (w, x, y, z).
        grasp: the chosen grasp, relative to the middle of the object's box.
        height: how high the hand travels with the object, metres in the world.
        missing: this grasp is meant to miss.
    """

    upright: np.ndarray | None = None
    grasp: Grasp | None = None
    height: float = 0.0
    missing: bool = False


class PandaExpert(RowAgent):
    """Reach, descend, close, lift, carry, lower, release, retreat; a missed grasp is retried elsewhere."""

    reads = frozenset({"privileged"})
    rows = 64

    def __init__(self, config: PandaExpertConfig | None = None) -> None:
        self.config = config or PandaExpertConfig()

    def prepare(self, contract: Contract) -> None:
        if contract.action_names[-1:] != ("gripper",) or len(contract.action_names) != 7:
            raise ValueError(
                f"the expert drives a 7-dimensional arm with a gripper, not {contract.action_names}"
            )

    def begin(self, episode: Episode) -> PandaPhase:
        return PandaPhase()

    def watch(self, truth: dict[str, np.ndarray]) -> PandaPhase:
        """The carry of an episode that somebody else begins."""
        return PandaPhase(upright=truth["eef"][3:].copy())

    def resume(self, truth: dict[str, np.ndarray], before: PandaPhase) -> PandaPhase:
        """The carry with which to take over; see `resume`."""
        return resume(truth, before)

    def decide(
        self, carry: PandaPhase, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[PandaPhase, Plan]:
        truth = observation.get("privileged", {})
        if "pick" not in truth:
            raise ValueError("the expert knows only tasks with an object to pick and a place to put it")
        first = carry.upright is None
        upright = truth["eef"][3:].copy() if carry.upright is None else carry.upright
        carry = replace(carry, upright=upright)
        if carry.grasp is None:
            ranked = rank_grasps(truth)
            carry = replace(carry, grasp=ranked[carry.tries % len(ranked)])
            if first and rng.random() < self.config.misses:
                carry = replace(carry, grasp=_beside(ranked[0], rng), missing=True)
        blind = carry.missing and rng.random() > NOTICE
        carry = advance_phase(carry, truth, self.config, blind)
        target, gripper = waypoint(carry, truth, self.config)
        if carry.phase in FREE and rng.random() < self.config.disturbance:
            return carry, disturb(rng, gripper, [1.0] * 3, (3, 6))
        turned = carry.grasp is not None and carry.grasp.turned
        action = _move(truth["eef"], target, _yawed(upright) if turned else upright, self.config.gain)
        carry = replace(carry, age=carry.age + 1)
        return carry, Plan(
            np.append(action, gripper).astype(np.float32)[None], {"expert": int(not carry.missing)}
        )


def advance_phase(
    carry: PandaPhase, truth: dict[str, np.ndarray], config: PandaExpertConfig, blind: bool = False
) -> PandaPhase:
    """The phase that the present state calls for; at most one change a step. Blind, a loss goes unseen."""
    grasp = carry.grasp
    assert grasp is not None  # chosen before the first phase
    away = waypoint(carry, truth, config)[0] - truth["eef"][:3]
    aside, above = float(np.linalg.norm(away[:2])), abs(float(away[2]))
    stuck = carry.age > 35
    change = {
        "reach": "descend" if (aside < 0.012 and above < 0.03) or carry.age > 45 else None,
        "descend": "reach" if aside > 0.05 else "close" if _in_grasp(away, grasp) or stuck else None,
        "close": "lift" if carry.age >= 9 else None,
        "lift": "carry" if above < 0.02 or stuck else None,
        "carry": "lower" if aside < 0.012 or carry.age > 80 else None,
        "lower": "release" if above < 0.008 or stuck else None,
        "release": "retreat" if carry.age >= 6 else None,
        "retreat": "reach" if carry.age >= 25 else None,
    }[carry.phase]
    if carry.phase in ("lift", "carry", "lower") and carry.age > 1 and not blind:
        if _lost(grasp, truth):
            return PandaPhase("retreat", 15, carry.tries + (not carry.missing), carry.upright)
        carry = replace(carry, missing=False)  # held after all
    if change == "lift":  # from here on the object is expected to stay as it is in the hand
        held = replace(grasp, offset=truth["eef"][:3] - truth["pick"].mean(0))
        carry = replace(carry, grasp=held, height=travel_height(held, truth))
    if change == "reach" and carry.phase == "retreat":
        return PandaPhase("reach", 0, carry.tries, carry.upright)
    return carry.enter(change)


def waypoint(
    carry: PandaPhase, truth: dict[str, np.ndarray], config: PandaExpertConfig
) -> tuple[np.ndarray, float]:
    """Where the hand should be, world frame [3], and the gripper's command, in this phase."""
    hand = truth["eef"][:3]
    if carry.grasp is None or carry.phase in ("release", "retreat"):
        return hand + np.array([0.0, 0.0, 0.0 if carry.phase == "release" else 0.05]), OPEN
    point = truth["pick"].mean(0) + carry.grasp.offset
    over = release_point(carry.grasp, truth)
    return {
        "reach": (point + np.array([0.0, 0.0, config.hover]), OPEN),
        "descend": (point, OPEN),
        "close": (point, CLOSE),
        "lift": (np.array([hand[0], hand[1], carry.height]), CLOSE),
        "carry": (np.array([over[0], over[1], carry.height]), CLOSE),
        "lower": (over, CLOSE),
    }[carry.phase]


def release_point(grasp: Grasp, truth: dict[str, np.ndarray]) -> np.ndarray:
    """Where the hand lets go: the held object centred over its goal, just above the ground or the rim."""
    low, high = truth["place"]
    tall = float(truth["pick"][1, 2] - truth["pick"][0, 2])
    deep = high[2] - low[2] > 0.08  # into a basket an object is let fall, on a plate it is set down
    point = (low + high) / 2 + grasp.offset
    point[2] = (high[2] + 0.01 if deep else high[2] - 0.008) + tall / 2 + grasp.offset[2]
    return point


def travel_height(grasp: Grasp, truth: dict[str, np.ndarray]) -> float:
    """How high the hand carries the object: above the goal's rim and the walls around where it stood."""
    low, high = truth["pick"]
    beside = truth["obstacles"][
        (truth["obstacles"][:, 0, :2] < high[:2] + WALLS).all(1)
        & (truth["obstacles"][:, 1, :2] > low[:2] - WALLS).all(1)
    ]
    walls = float(beside[:, 1, 2].max(initial=-np.inf))
    clear = walls + 0.03 + (truth["eef"][2] - low[2])
    return float(max(release_point(grasp, truth)[2] + 0.09, truth["eef"][2] + 0.07, clear))


def _in_grasp(away: np.ndarray, grasp: Grasp) -> bool:
    """Close enough to close: strict along the fingers, lenient along the object's edge."""
    across, along = (away[0], away[1]) if grasp.turned else (away[1], away[0])
    return bool(abs(across) < 0.006 and abs(along) < 0.02 and abs(away[2]) < 0.006)


def _beside(grasp: Grasp, rng: np.random.Generator) -> Grasp:
    """A grasp 2.5 to 6 cm beside a good one."""
    angle, distance = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.025, 0.06)
    aside = distance * np.array([np.cos(angle), np.sin(angle), 0.0])
    return replace(grasp, offset=grasp.offset + aside)


def _lost(grasp: Grasp, truth: dict[str, np.ndarray]) -> bool:
    slipped = np.linalg.norm(truth["eef"][:3] - truth["pick"].mean(0) - grasp.offset) > 0.05
    return bool(slipped or np.abs(truth["fingers"]).sum() < 0.003)


def resume(truth: dict[str, np.ndarray], before: PandaPhase) -> PandaPhase:
    """Where the expert begins when it takes over from somebody else: with what the hand holds, if anything.

    Whether something is held follows from fingers that are neither open nor shut where the object is;
    when it was not, the expert notices a step later.
    """
    hand, (low, high) = truth["eef"][:3], truth["pick"]
    gap = float(np.abs(truth["fingers"]).sum())
    around = bool((hand > low - 0.02).all() and (hand < high + np.array([0.02, 0.02, 0.04])).all())
    if not (around and 0.003 < gap < WIDEST_GRASP) or before.upright is None:
        return PandaPhase(upright=before.upright)
    turned = float(np.linalg.norm(_rotation_between(truth["eef"][3:], before.upright))) > np.pi / 4
    held = Grasp(hand - truth["pick"].mean(0), turned)
    height = max(float(release_point(held, truth)[2]) + 0.09, float(hand[2]))
    return PandaPhase("lift", upright=before.upright, grasp=held, height=height)


def _move(eef: np.ndarray, target: np.ndarray, upright: np.ndarray, gain: float) -> np.ndarray:
    """OSC_POSE action [6] towards a point, in a straight line, holding the hand's first rotation."""
    step = (target - eef[:3]) / METRES_PER_ACTION * gain
    step /= max(1.0, float(np.abs(step).max()))
    turn = _rotation_between(eef[3:], upright)
    turn = np.where(np.abs(turn) > 0.05, turn / 0.5, 0.0)  # small errors are left: zeros are easy to learn
    return np.concatenate([step, np.clip(turn, -1.0, 1.0)])


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The rotation vector [3], world frame, that takes quaternion `start` to `end` (both w, x, y, z)."""
    before, after = (Rotation.from_quat(turn, scalar_first=True) for turn in (start, end))
    return (after * before.inv()).as_rotvec()


def _yawed(quaternion: np.ndarray) -> np.ndarray:
    """A rotation (w, x, y, z) followed by a quarter turn about the vertical."""
    w, x, y, z = quaternion
    return np.array([w - z, x - y, y + x, z + w]) / np.sqrt(2.0)
