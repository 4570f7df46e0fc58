"""A scripted expert that picks an object up and puts it down, from ground-truth poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.scripted import UP, Aim, ArmExpert, Phase, slipped
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
WIDEST_GRASP = 0.07
"""Objects narrower than this, metres, are held around their middle; wider ones (a bowl) at their rim."""
COMFORTABLE_REACH = 0.81
"""Horizontal distance from the arm's base, metres, beyond which the controller tilts the hand."""
HAND = np.array([[-0.035, -0.105, 0.045], [0.035, 0.105, 0.20]])
"""Box [2, 3] of the Panda's hand relative to the point between its fingertips; the fingers close along y."""
FINGERS = np.array(
    [[[-0.013, 0.036, -0.012], [0.013, 0.062, 0.05]], [[-0.013, -0.062, -0.012], [0.013, -0.036, 0.05]]]
)
"""Boxes [2, 2, 3] of the opened fingers."""


@kind("panda-expert")
@checked
class PandaExpertConfig:
    """Pick-and-place by a state machine.

    Args:
        hover: metres above the object from which the hand descends.
        gain: how much of the remaining way one action commands; 1 is all of it, saturated at 5 cm; more
            than 1 makes up for the controller's steady-state error.
        disturbance: chance per decision of a few random actions, see `ArmExpert`.
        misses: chance that the first grasp closes beside the object and the expert takes a while to notice;
            marked like disturbances, up to the moment it notices. A policy that never saw a miss carries
            nothing to the goal.
    """

    hover: Magnitude = 0.10
    gain: Positive = 1.5
    disturbance: Fraction = 0.0
    misses: Fraction = 0.0

    def make(self) -> PandaExpert:
        return PandaExpert(self)


@dataclass(frozen=True)
class Grasp:
    """One way to hold an object.

    Args:
        offset: the point between the fingertips minus the middle of the object's box, metres [3].
        turned: the hand is turned by a quarter, so that the fingers close along x.
    """

    offset: np.ndarray
    turned: bool = False


@dataclass(frozen=True)
class PandaPhase(Phase):
    """What is remembered of an episode.

    Args:
        upright: the hand's rotation at the start (w, x, y, z).
        grasp: the chosen grasp, relative to the middle of the object's box.
        height: how high the hand travels with the object, metres in the world.
    """

    upright: np.ndarray | None = None
    grasp: Grasp | None = None
    height: float = 0.0


class PandaExpert(ArmExpert):
    """Reach, descend, close, lift, carry, lower, release, retreat; a missed grasp is retried elsewhere."""

    spans, steps = (1.0, 1.0, 1.0), (3, 6)

    def prepare(self, contract: Contract) -> None:
        if contract.action_names[-1:] != ("gripper",) or len(contract.action_names) != 7:
            raise ValueError(
                f"the expert drives a 7-dimensional arm with a gripper, not {contract.action_names}"
            )

    def begin(self, episode: Episode) -> PandaPhase:
        return PandaPhase()

    def watch(self, carry: PandaPhase, truth: dict[str, np.ndarray]) -> PandaPhase:
        return replace(carry, upright=truth["eef"][3:].copy())

    def resume(self, carry: PandaPhase, truth: dict[str, np.ndarray]) -> PandaPhase:
        """With what the hand holds, if anything.

        Whether something is held follows from fingers that are neither open nor shut where the object is;
        when it was not, the expert notices a step later.
        """
        hand, (low, high) = truth["eef"][:3], truth["pick"]
        gap = float(np.abs(truth["fingers"]).sum())
        around = bool((hand > low - 0.02).all() and (hand < high + np.array([0.02, 0.02, 0.04])).all())
        if not (around and 0.003 < gap < WIDEST_GRASP) or carry.upright is None:
            return PandaPhase(upright=carry.upright)
        turned = float(np.linalg.norm(_rotation_between(truth["eef"][3:], carry.upright))) > np.pi / 4
        held = Grasp(hand - truth["pick"].mean(0), turned)
        height = max(float(release_point(held, truth)[2]) + 0.09, float(hand[2]))
        return PandaPhase("lift", upright=carry.upright, grasp=held, height=height)

    def aim(
        self, carry: PandaPhase, truth: dict[str, np.ndarray], instruction: str, rng: np.random.Generator
    ) -> tuple[PandaPhase, Aim]:
        if "pick" not in truth:
            raise ValueError("the expert knows only tasks with an object to pick and a place to put it")
        first = carry.upright is None
        carry = self.watch(carry, truth) if first else carry
        if carry.grasp is None:
            ranked = rank_grasps(truth)
            carry = replace(carry, grasp=ranked[carry.tries % len(ranked)])
            if first and rng.random() < self.config.misses:
                carry = replace(carry, grasp=_beside(ranked[0], rng), missing=True)
        blind = carry.missing and rng.random() > NOTICE
        carry = self.advance(carry, truth, blind)
        return carry, self.waypoint(carry, truth)

    def approach(self, carry: PandaPhase, truth: dict[str, np.ndarray], aim: Aim) -> np.ndarray:
        """By OSC_POSE in a straight line, holding the hand's first rotation."""
        eef, rotation = truth["eef"], carry.upright
        assert rotation is not None  # taken at the first decision
        if carry.grasp is not None and carry.grasp.turned:
            rotation = _yawed(rotation)
        step = (aim.point - eef[:3]) / METRES_PER_ACTION * self.config.gain
        step /= max(1.0, float(np.abs(step).max()))
        turn = _rotation_between(eef[3:], rotation)
        turn = np.where(
            np.abs(turn) > 0.05, turn / 0.5, 0.0
        )  # small errors are left: zeros are easy to learn
        return np.concatenate([step, np.clip(turn, -1.0, 1.0)])

    def advance(self, carry: PandaPhase, truth: dict[str, np.ndarray], blind: bool) -> PandaPhase:
        """The phase that the present state calls for; at most one change a step. `blind` to a loss."""
        grasp = carry.grasp
        assert grasp is not None  # chosen before the first phase
        away = self.waypoint(carry, truth).point - truth["eef"][:3]
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
            if slipped(truth, grasp.offset, 0.05) or np.abs(truth["fingers"]).sum() < 0.003:
                return PandaPhase("retreat", 15, carry.tries + (not carry.missing), upright=carry.upright)
            carry = replace(carry, missing=False)  # held after all
        if change == "lift":  # from here on the object is expected to stay as it is in the hand
            held = replace(grasp, offset=truth["eef"][:3] - truth["pick"].mean(0))
            carry = replace(carry, grasp=held, height=travel_height(held, truth))
        if change == "reach" and carry.phase == "retreat":
            return PandaPhase(tries=carry.tries, upright=carry.upright)
        return carry.enter(change)

    def waypoint(self, carry: PandaPhase, truth: dict[str, np.ndarray]) -> Aim:
        """Where the hand should be, world frame, in this phase."""
        hand = truth["eef"][:3]
        if carry.grasp is None or carry.phase in ("release", "retreat"):
            return Aim(hand + (0.0 if carry.phase == "release" else 0.05) * UP, OPEN)
        point = truth["pick"].mean(0) + carry.grasp.offset
        over = release_point(carry.grasp, truth)
        return {
            "reach": Aim(point + self.config.hover * UP, OPEN),
            "descend": Aim(point, OPEN),
            "close": Aim(point, CLOSE),
            "lift": Aim(np.array([hand[0], hand[1], carry.height]), CLOSE),
            "carry": Aim(np.array([over[0], over[1], carry.height]), CLOSE),
            "lower": Aim(over, CLOSE),
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


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The rotation vector [3], world frame, that takes quaternion `start` to `end` (both w, x, y, z)."""
    before, after = (Rotation.from_quat(turn, scalar_first=True) for turn in (start, end))
    return (after * before.inv()).as_rotvec()


def _yawed(quaternion: np.ndarray) -> np.ndarray:
    """A rotation (w, x, y, z) followed by a quarter turn about the vertical."""
    w, x, y, z = quaternion
    return np.array([w - z, x - y, y + x, z + w]) / np.sqrt(2.0)


def rank_grasps(truth: dict[str, np.ndarray]) -> list[Grasp]:
    """All candidate grasps of `truth["pick"]`, the one that runs least into obstacles first.

    Ties go to the candidate nearest to the object's middle with an unturned hand, so that like scenes are
    grasped alike: demonstrations that choose at random are harder to learn from.
    """
    low, high = truth["pick"]
    middle, size = (low + high) / 2, high - low
    candidates = _candidates(size)
    costs = [
        _cost(grasp, middle, truth["obstacles"]) + _stretch(middle + grasp.offset - truth["base"])
        for grasp in candidates
    ]
    return [candidates[index] for index in np.argsort(costs, kind="stable")]


def _candidates(size: np.ndarray) -> list[Grasp]:
    """Grasps of a box [3]: around its middle where the hand is wide enough, else at its rim."""
    found = []
    for turned, along, across in ((False, 0, 1), (True, 1, 0)):
        if min(size[:2]) >= WIDEST_GRASP:
            for sign, angle in product((1.0, -1.0), (0.0, 0.35, -0.35)):
                offset = np.array([0.0, 0.0, size[2] / 2 - 0.022])
                offset[along] = np.sin(angle) * (size[along] / 2 - 0.006)
                offset[across] = sign * np.cos(angle) * (size[across] / 2 - 0.006)
                found.append(Grasp(offset, turned))
        elif size[across] < WIDEST_GRASP:
            for share in (0.0, -0.35, 0.35, -0.7, 0.7):
                offset = np.array([0.0, 0.0, size[2] / 2 - min(0.03, size[2] / 2)])
                offset[along] = share * max(0.0, size[along] / 2 - 0.01)
                found.append(Grasp(offset, turned))
    return found


def _cost(grasp: Grasp, middle: np.ndarray, obstacles: np.ndarray) -> float:
    """How deep hand and fingers would stand in obstacles, metres, plus a little for being unusual."""
    shapes = np.concatenate([HAND[None], FINGERS])  # [3, 2, 3]
    if grasp.turned:
        shapes = shapes[..., [1, 0, 2]]
    shapes = shapes + (middle + grasp.offset)
    overlap = np.minimum(shapes[:, None, 1], obstacles[None, :, 1]) - np.maximum(
        shapes[:, None, 0], obstacles[None, :, 0]
    )
    depth = np.clip(overlap.min(-1) + 0.004, 0.0, None)  # [3, K]; 4 mm are kept free
    unusual = 0.002 * float(np.linalg.norm(grasp.offset[:2])) + 0.003 * grasp.turned
    return float(depth.sum()) + unusual


def _stretch(reach: np.ndarray) -> float:
    """How far the arm must stretch beyond what it does with its hand upright, as a cost."""
    return 0.2 * max(0.0, float(np.linalg.norm(reach[:2])) - COMFORTABLE_REACH)
