"""A scripted expert for the Google robot of SimplerEnv: picks, moves, opens and closes from ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.base import Plan
from playloop.agents.scripted import UP, Aim, ArmExpert, Phase, rotation_of, slipped
from playloop.core.annotations import Fraction, Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.episode import Episode
from playloop.core.kinds import kind

OPEN, CLOSE, STAY = -1.0, 1.0, 0.0
DOWN = np.array([0.0, 0.0, -1.0])
PALM = 0.065
"""How far below the top of a tall object the fingers' tips may go before the palm touches it, metres."""
TALL = 0.16
"""Objects taller than this are grasped from the side, metres."""
WIDEST = 0.125
"""Sides up to this fit between the fingers, metres."""
IN_THE_WAY = 0.12
"""An object this close to where another is carried must be cleared, metres."""
TILT = np.radians(40.0)
"""How far the hand points below the horizontal at a drawer."""
NARROW = 0.45
"""Gripper command that brings the open fingers close enough to fit above a drawer's front."""
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
        return GoogleRobotExpert(self)


@dataclass(frozen=True)
class GooglePhase(Phase):
    """What is remembered of an episode.

    Args:
        rotation: how the hand is held, world frame, rows of a 3x3 matrix.
        offset: from the object's middle to the hand while it is held, metres.
        goal: where the object goes, or the drawer's edge is pulled, metres.
        height: at which the hand travels, metres.
        last: where the hand was one action ago.
    """

    phase: str = "start"
    rotation: np.ndarray | None = None
    offset: np.ndarray | None = None
    goal: np.ndarray | None = None
    height: float = 0.0
    last: np.ndarray | None = None


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


def pick(carry: GooglePhase, truth: dict[str, np.ndarray], hover: float) -> tuple[GooglePhase, Aim]:
    """Reach, descend, close, lift; with a goal also carry, lower, release, retreat.

    Args:
        carry: where the episode's expert is.
        truth: see `FractalEnv.privileged`.
        hover: metres above the object from which the hand descends.
    """
    if carry.phase == "start":
        carry = GooglePhase("reach", tries=carry.tries, rotation=grasp_rotation(truth), last=carry.last)
    carry = _next_pick_phase(carry, truth, hover)
    assert carry.rotation is not None  # chosen before the first phase
    hand, point = truth["eef"][:3], grasp_point(truth)
    held = carry.offset if carry.offset is not None else np.zeros(3)
    goal = carry.goal + held if carry.goal is not None else hand
    where, gripper = {
        "reach": (point + hover * UP, OPEN),
        "descend": (point, OPEN),
        "close": (point, CLOSE),
        "lift": (np.array([hand[0], hand[1], carry.height]), CLOSE),
        "carry": (np.array([goal[0], goal[1], carry.height]), CLOSE),
        "lower": (goal, CLOSE),
        "release": (hand, OPEN),
        "retreat": (hand + 0.1 * UP, OPEN),
        "rest": (hand, CLOSE if "place" not in truth else OPEN),
    }[carry.phase]
    return carry, Aim(where, gripper, carry.rotation)


def _next_pick_phase(carry: GooglePhase, truth: dict[str, np.ndarray], hover: float) -> GooglePhase:
    hand, age = truth["eef"][:3], carry.age
    away = hand - grasp_point(truth)
    aside, up = float(np.linalg.norm(away[:2])), float(away[2])
    if carry.phase == "close" and age >= 6:
        goal = resting_point(truth, carry.rotation) if "place" in truth else None
        height = travel_height(truth, goal) + hand[2] - truth["pick"][0, 2]
        offset = hand - truth["pick"].mean(0)
        return replace(carry, phase="lift", age=0, offset=offset, height=height, goal=goal)
    if carry.phase in ("lift", "carry", "lower") and age > 1:
        assert carry.offset is not None  # set when the grasp closed
        if slipped(truth, carry.offset, 0.06):
            return GooglePhase("retreat", tries=carry.tries + 1, rotation=carry.rotation)
        return carry.enter(_next_carry_phase(carry, hand))
    if carry.phase == "retreat" and age >= 4 and carry.goal is None:
        return GooglePhase("reach", tries=carry.tries, rotation=grasp_rotation(truth))
    above = aside < 0.015 and up < hover + 0.04 and angle_between(truth, carry.rotation) < 0.15
    change = {
        "reach": "descend" if above or age > 25 else None,
        "descend": "close" if abs(up) < 0.008 or age > 12 else None,
        "release": "retreat" if age >= 5 else None,
        "retreat": "rest" if age >= 4 else None,
    }
    return carry.enter(change.get(carry.phase))


def _next_carry_phase(carry: GooglePhase, hand: np.ndarray) -> str | None:
    if carry.phase == "lift" and (abs(hand[2] - carry.height) < 0.02 or carry.age > 15):
        return "rest" if carry.goal is None else "carry"
    if carry.goal is None or carry.offset is None:
        return None
    left = carry.goal + carry.offset - hand
    if carry.phase == "carry" and (np.linalg.norm(left[:2]) < 0.015 or carry.age > 20):
        return "lower"
    if carry.phase == "lower" and (abs(left[2]) < 0.01 or carry.age > 15):
        return "release"
    return None


def grasp_point(truth: dict[str, np.ndarray]) -> np.ndarray:
    """Where the fingers' tips meet around the object, clear of the table and of the palm [3]."""
    low, high = truth["pick"]
    point = (low + high) / 2
    lowest = low[2] + 0.004 + 0.026 * float(np.sin(lean(truth)))
    highest = high[2] - PALM if high[2] - low[2] < TALL else low[2] + 0.06
    point[2] = max(lowest, point[2] - 0.012, highest)
    return point


def lean(truth: dict[str, np.ndarray]) -> float:
    """Between hand and vertical, radians: straight down the arm reaches 60 cm, further only if it leans."""
    low, high = truth["pick"]
    if high[2] - low[2] > TALL:
        return 0.9
    ends = ("pick",) if "handle" in truth else ("pick", "place")
    ways = [truth[key].mean(0) - truth["base"] for key in ends if key in truth]
    far = max(float(np.linalg.norm(way[:2])) for way in ways)
    return float(np.clip(0.15 + 2.2 * (far - 0.5), 0.0, 0.75))


def grasp_rotation(truth: dict[str, np.ndarray]) -> np.ndarray:
    """From above, leaning outwards, and closing across a side that fits [3, 3].

    The closer the fingers are to the same height, and the narrower the side, the better. Where all sides fit,
    the hand closes at right angles to the way it leans.
    """
    sizes = (truth["pick"][1] - truth["pick"][0])[:2]
    out = truth["pick"].mean(0) - truth["base"]
    out[2] = 0.0
    out /= np.linalg.norm(out)
    angle = lean(truth)
    approach = np.cos(angle) * DOWN + np.sin(angle) * out
    across = np.cross(DOWN, out)
    if max(sizes) > 1.25 * min(sizes):
        axes = np.eye(3)[:2]
        costs = [
            4 * size + abs(float(axis @ approach)) + 10 * (size > WIDEST)
            for size, axis in zip(sizes, axes, strict=True)
        ]
        across = axes[int(np.argmin(costs))]
    across = across - (across @ approach) * approach
    now = rotation_of(truth["eef"]).apply([0.0, 1.0, 0.0])
    across *= np.sign(across @ now) / np.linalg.norm(across)
    return frame(approach, across)


def travel_height(truth: dict[str, np.ndarray], goal: np.ndarray | None) -> float:
    """Where the object's lowest point travels: above whatever stands in its way, metres."""
    start, low = truth["pick"].mean(0)[:2], float(truth["pick"][0, 2])
    if goal is None:
        return low + 0.12
    way, heights = goal[:2] - start, [low + 0.06]
    for other in _others(truth).values():
        middle = other.mean(0)[:2]
        share = np.clip((middle - start) @ way / max(float(way @ way), 1e-9), 0.0, 1.0)
        if np.linalg.norm(start + share * way - middle) < IN_THE_WAY:
            heights.append(float(other[1, 2]) + 0.03)
    return max(heights)


def resting_point(truth: dict[str, np.ndarray], rotation: np.ndarray | None) -> np.ndarray:
    """The object's middle beside the target [3]: away from others, and not where the fingers would open."""
    low, high = truth["pick"]
    if "handle" in truth:  # over the open drawer, clear of the table's edge
        return truth["edge"] - 0.10 * truth["handle_axis"] + 0.02 * UP
    target = truth["place"].mean(0)
    sizes = [float(np.linalg.norm((box[1] - box[0])[:2])) / 2 for box in (truth["pick"], truth["place"])]
    across, start = np.asarray(rotation)[:2, 1], (low + high)[:2] / 2
    others = [box.mean(0)[:2] for box in _others(truth).values()]
    best, chosen = -np.inf, start
    for angle in np.linspace(0.0, 2 * np.pi, 24, endpoint=False):
        way = np.array([np.cos(angle), np.sin(angle)])
        spot = target[:2] + way * (sum(sizes) + 0.045)
        free = min(float(np.linalg.norm(spot - other)) for other in others)
        edge = max(0.0, -0.36 - spot[0], spot[0] + 0.10, -spot[1], spot[1] - 0.40)
        score = -abs(float(way @ across)) - 10 * edge - float(np.linalg.norm(spot - start))
        score -= 10 * max(0.0, 0.13 - free)
        score -= 5 * max(0.0, float(np.linalg.norm(spot - truth["base"][:2])) - 0.66)
        if score > best:
            best, chosen = score, spot
    return np.append(chosen, (low + high)[2] / 2 + 0.005)


def _others(truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Boxes of all objects but the one to pick."""
    boxes = {key: value for key, value in truth.items() if key.startswith("box/")}
    return {key: value for key, value in boxes.items() if not np.array_equal(value, truth["pick"])}


def frame(approach: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The hand's rotation [3, 3] that looks along `approach` and closes along `across`."""
    return np.stack([np.cross(across, approach), across, approach], axis=1)


def angle_between(truth: dict[str, np.ndarray], rotation: np.ndarray | None) -> float:
    """Between how the hand is held and how it should be, radians."""
    now = rotation_of(truth["eef"])
    return float((Rotation.from_matrix(np.asarray(rotation)) * now.inv()).magnitude())


def drawer_frame(truth: dict[str, np.ndarray], tilt: float) -> np.ndarray:
    """The hand's rotation before a drawer: looks at it from slightly above, closes from above and below."""
    out = truth["handle_axis"]
    approach = -np.cos(tilt) * out + np.sin(tilt) * DOWN
    across = np.sin(tilt) * out + np.cos(tilt) * DOWN
    return frame(approach, across)


def open_drawer(carry: GooglePhase, truth: dict[str, np.ndarray]) -> tuple[GooglePhase, Aim]:
    """Come from the front, put one finger over the front's upper edge and one before it, pinch, pull."""
    rotation = drawer_frame(truth, TILT)
    approach, out = rotation[:, 2], truth["handle_axis"]
    hand, edge = truth["eef"][:3], truth["edge"]
    grip, far = edge + 0.03 * approach, edge - 0.14 * approach
    if carry.phase == "pull" and truth["drawer"][0] <= 0.18 and np.linalg.norm(hand - grip) > 0.08:
        carry = GooglePhase("start", tries=carry.tries + 1)  # slipped off
    else:
        before = np.linalg.norm(hand - far) < 0.07 and angle_between(truth, rotation) < 0.12
        change = {
            "start": "narrow" if before or carry.age > 30 else None,
            "narrow": "insert" if carry.age >= 4 else None,
            "insert": "pinch" if np.linalg.norm(hand - grip) < 0.012 or carry.age > 14 else None,
            "pinch": "pull" if carry.age >= 5 else None,
            "pull": "rest" if truth["drawer"][0] > 0.18 else None,
        }
        carry = carry.enter(change.get(carry.phase))
    where, gripper = {
        "start": (far + 0.05 * out, STAY),
        "narrow": (far, NARROW if carry.age == 0 else STAY),
        "insert": (grip, STAY),
        "pinch": (grip, CLOSE),
        "pull": (hand + 0.08 * out + (grip[2] - hand[2]) * UP, CLOSE),
        "rest": (hand, CLOSE),
    }[carry.phase]
    return carry, Aim(where, gripper, rotation)


def fill_drawer(carry: GooglePhase, truth: dict[str, np.ndarray], hover: float) -> tuple[GooglePhase, Aim]:
    """Open the drawer, let go of it, then pick the object and drop it inside."""
    if carry.goal is not None or carry.phase in ("reach", "descend", "close", "retreat"):
        return pick(carry, truth, hover)
    if carry.phase not in ("let go", "back"):
        carry, aim = open_drawer(carry, truth)
        return (GooglePhase("let go", last=carry.last) if carry.phase == "rest" else carry), aim
    rotation, hand = drawer_frame(truth, TILT), truth["eef"][:3]
    if carry.phase == "let go":
        phase = "back" if carry.age >= 6 else "let go"
        return replace(carry, phase=phase, age=carry.age % 6), Aim(hand, OPEN, rotation)
    if carry.age >= 12:
        carry = GooglePhase("reach", rotation=grasp_rotation(truth), last=carry.last)
    away = truth["edge"] + 0.20 * truth["handle_axis"] + 0.30 * UP
    return carry, Aim(away, OPEN, rotation)


def close_drawer(carry: GooglePhase, truth: dict[str, np.ndarray]) -> tuple[GooglePhase, Aim]:
    """Make a fist, sink before the front and push its upper half."""
    out, edge, hand = truth["handle_axis"], truth["edge"], truth["eef"][:3]
    approach = np.cos(0.2) * DOWN - np.sin(0.2) * out
    across = np.cos(0.2) * out + np.sin(0.2) * DOWN
    rotation = frame(approach, across)
    before = float((hand - edge) @ out)
    ready = edge + 0.08 * out + 0.045 * DOWN
    over = np.array([ready[0], ready[1], max(float(hand[2]), edge[2] + 0.12)])
    push = np.array([hand[0], ready[1], ready[2]]) - 0.10 * out
    ahead = before > 0.055 and angle_between(truth, rotation) < 0.3
    change = {
        "start": "sink" if ahead or carry.age > 25 else None,
        "sink": "push" if abs(hand[2] - ready[2]) < 0.02 or carry.age > 25 else None,
        "push": "rest" if truth["drawer"][0] < 0.01 else None,
    }
    carry = carry.enter(change.get(carry.phase))
    where = {"start": over, "sink": ready, "push": push, "rest": hand}[carry.phase]
    return carry, Aim(where, CLOSE, rotation)
