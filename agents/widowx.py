"""A scripted expert for SimplerEnv's WidowX: picks an object up and puts it down, from ground-truth poses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.scripted import UP, Aim, ArmExpert, Phase, rotation_of, slipped
from playloop.core.annotations import Fraction, Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.episode import Episode
from playloop.core.kinds import kind

OPEN, CLOSE = 1.0, -1.0
FARTHEST, WIDEST = 0.04, 0.35
"""Most that one action moves the hand, metres, and turns it, radians."""
TIPS = 0.016
"""Metres from the point between the fingers down to their tips."""
SLICE = 0.012
"""Half of the fingers' breadth, metres: the part of an object that they touch."""
BETWEEN = (0.0165, 0.035)
"""Metres of each finger from the middle that mean neither shut nor open."""
SINK = 0.05
"""Goals higher than this above the arm's foot, metres, are the sink's basket, which has a rim."""
ANGLES = np.linspace(-np.pi / 2, np.pi / 2, 37)


@kind("widowx-expert")
@checked
class WidowXExpertConfig:
    """Pick-and-place by a state machine.

    Args:
        hover: metres above the object from which the hand descends.
        gain: how much of the remaining way one action commands. The hand covers three fifths of the way to
            its target in a step, and the target moves on from where it was: a half overshoots by a twentieth.
        disturbance: chance per decision of a few random actions, see `ArmExpert`.
    """

    hover: Magnitude = 0.06
    gain: Positive = 0.5
    disturbance: Fraction = 0.0

    def make(self) -> WidowXExpert:
        return WidowXExpert(self)


@dataclass(frozen=True)
class WidowXPhase(Phase):
    """What is remembered of an episode.

    Args:
        upright: the hand's rotation at the start.
        yaw: the grasp's, once it is chosen for good.
        held: the point between the fingers minus the middle of the object's box, when it was closed.
    """

    upright: Rotation | None = None
    yaw: float | None = None
    held: np.ndarray | None = None


class WidowXExpert(ArmExpert):
    """Reach, descend, close, lift, carry, lower, release, retreat; a missed grasp is tried again."""

    family = "simpler_widowx"
    spans = (0.03,) * 3 + (0.15,) * 3

    def begin(self, episode: Episode) -> WidowXPhase:
        return WidowXPhase()

    def watch(self, carry: WidowXPhase, truth: dict[str, np.ndarray]) -> WidowXPhase:
        return replace(carry, upright=rotation_of(truth["eef"]))

    def resume(self, carry: WidowXPhase, truth: dict[str, np.ndarray]) -> WidowXPhase:
        """With what the hand holds, if anything.

        Something is held where the fingers are neither open nor shut where the object is; when it was
        not, the expert notices a step later.
        """
        middle, hand = truth["pick"].mean(0), truth["eef"][:3]
        near = bool((np.abs(hand - middle) < (truth["pick"][1] - truth["pick"][0]) / 2 + 0.02).all())
        if not (near and BETWEEN[0] < truth["fingers"].mean() < BETWEEN[1]) or carry.upright is None:
            return WidowXPhase(upright=carry.upright)
        turned = (rotation_of(truth["eef"]) * carry.upright.inv()).as_rotvec()
        return WidowXPhase("lift", upright=carry.upright, yaw=float(turned[2]), held=hand - middle)

    def aim(
        self, carry: WidowXPhase, truth: dict[str, np.ndarray], instruction: str, rng: np.random.Generator
    ) -> tuple[WidowXPhase, Aim]:
        if carry.upright is None:
            carry = self.watch(carry, truth)
        if carry.yaw is None:
            carry = replace(carry, yaw=choose_grasp(truth, carry.tries)[1])
        carry = self.advance(carry, truth)
        return carry, self.waypoint(carry, truth)

    def approach(self, carry: WidowXPhase, truth: dict[str, np.ndarray], aim: Aim) -> np.ndarray:
        """In the base's frame."""
        step = self.config.gain * (aim.point - truth["eef"][:3])
        step *= min(1.0, FARTHEST / max(float(np.linalg.norm(step)), 1e-9))
        turn = self.config.gain * _turn(carry, truth)
        turn *= min(1.0, WIDEST / max(float(np.linalg.norm(turn)), 1e-9))
        return np.concatenate([step, turn])

    def advance(self, carry: WidowXPhase, truth: dict[str, np.ndarray]) -> WidowXPhase:
        """The phase that the present state calls for; at most one change a step."""
        away = self.waypoint(carry, truth).point - truth["eef"][:3]
        aside, above = float(np.linalg.norm(away[:2])), abs(float(away[2]))
        turned, age = float(np.linalg.norm(_turn(carry, truth))), carry.age
        change = {
            "reach": "descend" if (aside < 0.012 and above < 0.03 and turned < 0.15) or age > 20 else None,
            "descend": "close" if (aside < 0.006 and above < 0.005 and turned < 0.1) or age > 12 else None,
            "close": "lift" if age >= 3 else None,
            "lift": "carry" if above < 0.025 or age > 10 else None,
            "carry": "lower" if aside < 0.01 or age > 20 else None,
            "lower": "release" if (above < 0.006 and aside < 0.006) or age > 12 else None,
            "release": "retreat" if age >= 2 else None,
            "retreat": "rest" if age >= 4 else None,
            "rest": None,
        }[carry.phase]
        if carry.phase in ("lift", "carry", "lower") and age > 1:
            assert carry.held is not None  # chosen when the hand closed
            if slipped(truth, carry.held, 0.04):
                return WidowXPhase(tries=carry.tries + 1, upright=carry.upright)
        if change == "close":
            carry = replace(carry, held=truth["eef"][:3] - truth["pick"].mean(0))
        return carry.enter(change)

    def waypoint(self, carry: WidowXPhase, truth: dict[str, np.ndarray]) -> Aim:
        """Where the point between the fingers should be, base frame, in this phase."""
        hand = truth["eef"][:3]
        if carry.phase in ("release", "rest", "retreat"):
            return Aim(hand + 0.03 * UP if carry.phase == "retreat" else hand, OPEN)
        if carry.held is None:
            point = choose_grasp(truth, carry.tries, carry.yaw)[0]
            return Aim(point + self.config.hover * UP if carry.phase == "reach" else point, OPEN)
        over = _release_point(carry.held, truth)
        high = over[2] + (0.06 if truth["place"][1, 2] < SINK else 0.09)
        return {
            "close": Aim(hand, CLOSE),
            "lift": Aim(np.array([hand[0], hand[1], high]), CLOSE),
            "carry": Aim(np.array([over[0], over[1], high]), CLOSE),
            "lower": Aim(over, CLOSE),
        }[carry.phase]


def choose_grasp(
    truth: dict[str, np.ndarray], tries: int = 0, yaw: float | None = None
) -> tuple[np.ndarray, float]:
    """Where the object is narrowest across the fingers; of like ones the least turn of the hand.

    Args:
        truth: see `BridgeEnv.privileged`.
        tries: grasps that failed before: the next ones are taken elsewhere along the object.
        yaw: keep this turn of the hand.

    Returns:
        The point between the fingers, base frame [3], and the turn of the hand about the vertical from its
        rotation at the start, radians.
    """
    corners = truth["pick_corners"]
    middle = corners[:, :2].min(0) / 2 + corners[:, :2].max(0) / 2
    best: tuple[float, np.ndarray, float] | None = None
    for angle in ANGLES if yaw is None else [yaw]:
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        points = (corners[:, :2] - middle) @ np.stack([along, across], axis=1)  # [N, 2]
        shift = (0.0, 0.015, -0.015)[tries % 3] * (np.ptp(points[:, 0]) > 0.06)
        touched = points[np.abs(points[:, 0] - shift) < max(SLICE, np.abs(points[:, 0] - shift).min() + 1e-6)]
        width, offset = np.ptp(points[:, 1]), float(touched[:, 1].min() / 2 + touched[:, 1].max() / 2)
        height = corners[:, 2].min() + TIPS + 0.004
        point = np.append(middle + shift * along + offset * across, height)
        cost = float(width) + 0.004 * abs(float(angle))
        if best is None or cost < best[0]:
            best = cost, point, float(angle)
    assert best is not None  # there is at least one angle
    return best[1:]


def _release_point(held: np.ndarray, truth: dict[str, np.ndarray]) -> np.ndarray:
    """Where the hand lets go: the held object's middle over the goal's, its foot just above."""
    low, high = truth["place"]
    point = (low + high) / 2 + held
    foot = truth["eef"][2] - truth["pick"][0, 2]
    point[2] = high[2] + 0.006 + foot
    return point


def _turn(carry: WidowXPhase, truth: dict[str, np.ndarray]) -> np.ndarray:
    """The rotation vector [3], base frame, that takes the hand to where the grasp wants it."""
    assert carry.upright is not None  # taken at the first decision
    wanted = Rotation.from_euler("z", carry.yaw or 0.0) * carry.upright
    return (wanted * rotation_of(truth["eef"]).inv()).as_rotvec()
