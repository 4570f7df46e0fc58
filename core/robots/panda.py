"""The Franka Panda of robosuite, as LIBERO and robosuite's own tasks drive it."""

from __future__ import annotations

from playloop.core.contract import Contract
from playloop.core.conventions import Convention

CAMERAS = ("agentview", "robot0_eye_in_hand")
ACTION_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
STATE_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "finger_left", "finger_right")
IMAGE_SIZE = 256
"""Sides of LIBERO's pictures as published."""


def arm_contract(
    family: str, size: int, success: Convention | str, protocol: str, cameras: tuple[str, ...] = CAMERAS
) -> Contract:
    """The conventions of every published LIBERO policy; robosuite's own tasks are given the same."""
    return Contract(
        family=family,
        action=Convention("osc-pose-delta", {"translation": 0.05, "rotation": 0.5}),
        action_names=ACTION_NAMES,
        control_hz=20.0,
        cameras=dict.fromkeys(cameras, (size, size)),
        image=Convention("upright", {"rotated": 180}),
        state_names=STATE_NAMES,
        success=success,
        protocol=protocol,
        gripper="closes-positive",
    )
