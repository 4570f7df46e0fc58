"""A scripted expert for the Google robot of SimplerEnv: picks, moves, opens and closes from ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.base import Plan, RowAgent
from playloop.envs.contract import Contract
from playloop.envs.episode import Episode

OPEN, CLOSE, STAY = -1.0, 1.0, 0.0
FAMILY = "simpler_google_robot"
DOWN = np.array([0.0, 0.0, -1.0])
PALM = 0.065
"""How far below the top of a tall object the fingers' tips may go before the palm touches it, metres."""
TALL = 0.16
"""Objects taller than this are grasped from the side, metres."""
WIDEST = 0.125
"""Sides up to this fit between the fingers, metres."""
IN_THE_WAY = 0.12
"""An object this close to where another is carried must be cleared, metres."""
STUCK, TIMID = 0.002, 0.3
"""A hand that moved less than this in an action, metres, is asked for so much of the next one."""
TILT = np.radians(40.0)
"""How far the hand points below the horizontal at a drawer."""
NARROW = 0.45
"""Gripper command that brings the open fingers close enough to fit above a drawer's front."""


@dataclass
class GoogleRobotExpertConfig:
    """A state machine over Cartesian steps.

    Args:
        gain: how much of the remaining way one action commands; the controller covers some four tenths of it.
        reach: longest step that is commanded, metres.
        turn: widest turn that is commanded, radians.
        hover: metres above an object from which the hand descends.
    """

    gain: float = 1.5
    reach: float = 0.12
    turn: float = 0.5
    hover: float = 0.10

    def make(self) -> GoogleRobotExpert:
        """Construct the agent."""
        return GoogleRobotExpert(self)


@dataclass(frozen=True)
class Progress:
    """Where an episode's expert is.

    Args:
        phase: name of what it does now.
        age: actions in this phase.
        tries: attempts that have failed.
        rotation: how the hand is held, world frame, rows of a 3x3 matrix.
        offset: from the object's middle to the hand while it is held, metres.
        goal: where the object goes, or the drawer's edge is pulled, metres.
        height: at which the hand travels, metres.
        last: where the hand was one action ago.
    """

    phase: str = "start"
    age: int = 0
    tries: int = 0
    rotation: np.ndarray | None = None
    offset: np.ndarray | None = None
    goal: np.ndarray | None = None
    height: float = 0.0
    last: np.ndarray | None = None


@dataclass(frozen=True)
class Aim:
    """Where the hand should be, world frame: point [3], rotation [3, 3]; and the gripper's command."""

    point: np.ndarray
    rotation: np.ndarray
    gripper: float


class GoogleRobotExpert(RowAgent):
    """All five tasks; see `GoogleRobotExpertConfig`."""

    reads = frozenset({"privileged"})
    rows = 64

    def __init__(self, config: GoogleRobotExpertConfig | None = None) -> None:
        self.config = config or GoogleRobotExpertConfig()

    def prepare(self, contract: Contract) -> None:
        if contract.family != FAMILY:
            raise ValueError(f"this expert drives {FAMILY}, not {contract.family}; use agent=expert for arms")

    def begin(self, episode: Episode) -> Progress:
        return Progress()

    def decide(
        self, carry: Progress, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Progress, Plan]:
        truth, text = observation["privileged"], observation["instruction"]
        if "handle" in truth and "pick" in truth:
            carry, aim = fill_drawer(carry, truth, self.config)
        elif "handle" in truth:
            carry, aim = (close_drawer if text.startswith("close") else open_drawer)(carry, truth)
        else:
            carry, aim = pick(carry, truth, self.config)
        step = step_towards(aim, truth, self.config)
        hand = truth["eef"][:3].copy()
        if carry.last is not None and np.linalg.norm(hand - carry.last) < STUCK:
            # the controller stays where it finds no joints for a pose; a nearer one may have some
            step = step * TIMID
        action = np.append(step, aim.gripper).astype(np.float32)
        return replace(carry, age=carry.age + 1, last=hand), Plan(action[None])


def step_towards(aim: Aim, truth: dict[str, np.ndarray], config: GoogleRobotExpertConfig) -> np.ndarray:
    """The action [6] that brings the hand nearer, in the base's axes."""
    base = Rotation.from_euler("z", truth["base_yaw"][0]).inv()
    way = base.apply(aim.point - truth["eef"][:3]) * config.gain
    way /= max(1.0, float(np.linalg.norm(way)) / config.reach)
    now = Rotation.from_quat(truth["eef"][[4, 5, 6, 3]])
    turn = base.apply((Rotation.from_matrix(aim.rotation) * now.inv()).as_rotvec()) * config.gain
    turn /= max(1.0, float(np.linalg.norm(turn)) / config.turn)
    return np.concatenate([way, turn])


def frame(approach: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The hand's rotation [3, 3] that looks along `approach` and closes along `across`."""
    return np.stack([np.cross(across, approach), across, approach], axis=1)


def pick(
    carry: Progress, truth: dict[str, np.ndarray], config: GoogleRobotExpertConfig
) -> tuple[Progress, Aim]:
    """Reach, descend, close, lift; with a place to go to also carry, lower, release, retreat."""
    if carry.phase == "start":
        carry = Progress("reach", tries=carry.tries, rotation=grasp_rotation(truth), last=carry.last)
    carry = _next_pick_phase(carry, truth, config)
    assert carry.rotation is not None  # chosen before the first phase
    hand, point = truth["eef"][:3], grasp_point(truth)
    held = carry.offset if carry.offset is not None else np.zeros(3)
    goal = carry.goal + held if carry.goal is not None else hand
    above = np.array([0.0, 0.0, config.hover])
    where, gripper = {
        "reach": (point + above, OPEN),
        "descend": (point, OPEN),
        "close": (point, CLOSE),
        "lift": (np.array([hand[0], hand[1], carry.height]), CLOSE),
        "carry": (np.array([goal[0], goal[1], carry.height]), CLOSE),
        "lower": (goal, CLOSE),
        "release": (hand, OPEN),
        "retreat": (hand + np.array([0.0, 0.0, 0.1]), OPEN),
        "rest": (hand, CLOSE if "place" not in truth else OPEN),
    }[carry.phase]
    return carry, Aim(where, carry.rotation, gripper)


def _next_pick_phase(
    carry: Progress, truth: dict[str, np.ndarray], config: GoogleRobotExpertConfig
) -> Progress:
    hand, point = truth["eef"][:3], grasp_point(truth)
    away = hand - point
    aside, up = float(np.linalg.norm(away[:2])), float(away[2])
    aligned = _angle(truth, carry.rotation) < 0.15
    middle = truth["pick"].mean(0)
    change = None
    if carry.phase == "reach" and (
        (aside < 0.015 and up < config.hover + 0.04 and aligned) or carry.age > 25
    ):
        change = "descend"
    elif carry.phase == "descend" and (abs(up) < 0.008 or carry.age > 12):
        change = "close"
    elif carry.phase == "close" and carry.age >= 6:
        goal = resting_place(truth, carry.rotation) if "place" in truth else None
        height = travel_height(truth, goal) + hand[2] - truth["pick"][0, 2]
        return replace(carry, phase="lift", age=0, offset=hand - middle, height=height, goal=goal)
    elif carry.phase in ("lift", "carry", "lower") and carry.age > 1:
        assert carry.offset is not None  # set when the grasp closed
        if np.linalg.norm(hand - middle - carry.offset) > 0.06:
            return Progress("retreat", tries=carry.tries + 1, rotation=carry.rotation)
        change = _next_carry_phase(carry, hand)
    elif carry.phase == "release" and carry.age >= 5:
        change = "retreat"
    elif carry.phase == "retreat" and carry.age >= 4:
        if carry.goal is None:
            return Progress("reach", tries=carry.tries, rotation=grasp_rotation(truth))
        change = "rest"
    return carry if change is None else replace(carry, phase=change, age=0)


def _next_carry_phase(carry: Progress, hand: np.ndarray) -> str | None:
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
    now = Rotation.from_quat(truth["eef"][[4, 5, 6, 3]]).apply([0.0, 1.0, 0.0])
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


def resting_place(truth: dict[str, np.ndarray], rotation: np.ndarray | None) -> np.ndarray:
    """The object's middle beside the target [3]: away from others, and not where the fingers would open."""
    low, high = truth["pick"]
    if "handle" in truth:  # over the open drawer, clear of the table's edge
        return truth["edge"] - 0.10 * truth["handle_axis"] + np.array([0.0, 0.0, 0.02])
    target = truth["place"].mean(0)
    sizes = [float(np.linalg.norm((box[1] - box[0])[:2])) / 2 for box in (truth["pick"], truth["place"])]
    across, start = np.asarray(rotation)[:2, 1], (low + high)[:2] / 2
    others = [box.mean(0)[:2] for box in _others(truth).values()]
    best, place = -np.inf, start
    for angle in np.linspace(0.0, 2 * np.pi, 24, endpoint=False):
        way = np.array([np.cos(angle), np.sin(angle)])
        spot = target[:2] + way * (sum(sizes) + 0.045)
        free = min(float(np.linalg.norm(spot - other)) for other in others)
        edge = max(0.0, -0.36 - spot[0], spot[0] + 0.10, -spot[1], spot[1] - 0.40)
        score = -abs(float(way @ across)) - 10 * edge - float(np.linalg.norm(spot - start))
        score -= 10 * max(0.0, 0.13 - free)
        score -= 5 * max(0.0, float(np.linalg.norm(spot - truth["base"][:2])) - 0.66)
        if score > best:
            best, place = score, spot
    return np.append(place, (low + high)[2] / 2 + 0.005)


def _others(truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Boxes of all objects but the one to pick."""
    boxes = {key: value for key, value in truth.items() if key.startswith("box/")}
    return {key: value for key, value in boxes.items() if not np.array_equal(value, truth["pick"])}


def _angle(truth: dict[str, np.ndarray], rotation: np.ndarray | None) -> float:
    """Between how the hand is held and how it should be, radians."""
    now = Rotation.from_quat(truth["eef"][[4, 5, 6, 3]])
    return float((Rotation.from_matrix(np.asarray(rotation)) * now.inv()).magnitude())


def drawer_frame(truth: dict[str, np.ndarray], tilt: float) -> np.ndarray:
    """The hand's rotation before a drawer: looks at it from slightly above, closes from above and below."""
    out = truth["handle_axis"]
    approach = -np.cos(tilt) * out + np.sin(tilt) * DOWN
    across = np.sin(tilt) * out + np.cos(tilt) * DOWN
    return frame(approach, across)


def open_drawer(carry: Progress, truth: dict[str, np.ndarray]) -> tuple[Progress, Aim]:
    """Come from the front, put one finger over the front's upper edge and one before it, pinch, pull."""
    rotation = drawer_frame(truth, TILT)
    approach, out = rotation[:, 2], truth["handle_axis"]
    hand, edge = truth["eef"][:3], truth["edge"]
    grip = edge + 0.03 * approach
    carry = _next_open_phase(carry, truth, grip, rotation)
    far = edge - 0.14 * approach
    where, gripper = {
        "start": (far + 0.05 * out, STAY),
        "narrow": (far, NARROW if carry.age == 0 else STAY),
        "insert": (grip, STAY),
        "pinch": (grip, CLOSE),
        "pull": (hand + 0.08 * out + np.array([0.0, 0.0, grip[2] - hand[2]]), CLOSE),
        "rest": (hand, CLOSE),
    }[carry.phase]
    return carry, Aim(where, rotation, gripper)


def _next_open_phase(
    carry: Progress, truth: dict[str, np.ndarray], grip: np.ndarray, rotation: np.ndarray
) -> Progress:
    hand = truth["eef"][:3]
    far = truth["edge"] - 0.14 * rotation[:, 2]
    aligned = _angle(truth, rotation) < 0.12
    change = None
    if carry.phase == "start" and ((np.linalg.norm(hand - far) < 0.07 and aligned) or carry.age > 30):
        change = "narrow"
    elif carry.phase == "narrow" and carry.age >= 4:
        change = "insert"
    elif carry.phase == "insert" and (np.linalg.norm(hand - grip) < 0.012 or carry.age > 14):
        change = "pinch"
    elif carry.phase == "pinch" and carry.age >= 5:
        change = "pull"
    elif carry.phase == "pull":
        if truth["drawer"][0] > 0.18:
            change = "rest"
        elif np.linalg.norm(hand - grip) > 0.08:
            return Progress("start", tries=carry.tries + 1)
    return carry if change is None else replace(carry, phase=change, age=0)


def fill_drawer(
    carry: Progress, truth: dict[str, np.ndarray], config: GoogleRobotExpertConfig
) -> tuple[Progress, Aim]:
    """Open the drawer, let go of it, then pick the object and drop it inside."""
    if carry.goal is not None or carry.phase in ("reach", "descend", "close", "retreat"):
        return pick(carry, truth, config)
    if carry.phase not in ("let go", "back"):
        carry, aim = open_drawer(carry, truth)
        return (Progress("let go", last=carry.last) if carry.phase == "rest" else carry), aim
    rotation, hand = drawer_frame(truth, TILT), truth["eef"][:3]
    if carry.phase == "let go":
        phase = "back" if carry.age >= 6 else "let go"
        return replace(carry, phase=phase, age=carry.age % 6), Aim(hand, rotation, OPEN)
    if carry.age >= 12:
        carry = Progress("reach", rotation=grasp_rotation(truth), last=carry.last)
    away = truth["edge"] + 0.20 * truth["handle_axis"] + np.array([0.0, 0.0, 0.30])
    return carry, Aim(away, rotation, OPEN)


def close_drawer(carry: Progress, truth: dict[str, np.ndarray]) -> tuple[Progress, Aim]:
    """Make a fist, sink before the front and push its upper half."""
    out, edge, hand = truth["handle_axis"], truth["edge"], truth["eef"][:3]
    approach = np.cos(0.2) * DOWN - np.sin(0.2) * out
    across = np.cos(0.2) * out + np.sin(0.2) * DOWN
    rotation = frame(approach, across)
    before = float((hand - edge) @ out)
    ready = edge + 0.08 * out + 0.045 * DOWN
    over = np.array([ready[0], ready[1], max(float(hand[2]), edge[2] + 0.12)])
    push = np.array([hand[0], ready[1], ready[2]]) - 0.10 * out
    change = None
    if carry.phase == "start" and ((before > 0.055 and _angle(truth, rotation) < 0.3) or carry.age > 25):
        change = "sink"
    elif carry.phase == "sink" and (abs(hand[2] - ready[2]) < 0.02 or carry.age > 25):
        change = "push"
    elif carry.phase == "push" and truth["drawer"][0] < 0.01:
        change = "rest"
    if change is not None:
        carry = replace(carry, phase=change, age=0)
    where = {"start": over, "sink": ready, "push": push, "rest": hand}[carry.phase]
    return carry, Aim(where, rotation, CLOSE)
