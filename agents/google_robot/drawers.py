"""Open and close drawers with the Google robot's hand, and put something into one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from playloop.agents.google_robot.picking import (
    CLOSE,
    DOWN,
    OPEN,
    STAY,
    GooglePhase,
    angle_between,
    frame,
    grasp_rotation,
    pick,
)
from playloop.agents.scripted import UP, Aim

TILT = np.radians(40.0)
"""How far the hand points below the horizontal at a drawer."""
NARROW = 0.45
"""Gripper command that brings the open fingers close enough to fit above a drawer's front."""


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
