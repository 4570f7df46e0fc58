"""The Franka Panda of robosuite, as LIBERO and robosuite's own tasks drive it."""

from __future__ import annotations

from playloop.core.contract import Contract

CAMERAS = ("agentview", "robot0_eye_in_hand")
ACTION_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
STATE_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "finger_left", "finger_right")
IMAGE_SIZE = 256
"""Sides of LIBERO's pictures as published."""


def arm_contract(
    family: str, size: int, success_rule: str, protocol: str, cameras: tuple[str, ...] = CAMERAS
) -> Contract:
    """The conventions of every published LIBERO policy; robosuite's own tasks are given the same."""
    return Contract(
        family=family,
        action="OSC_POSE delta in the base frame, [-1, 1]: 1 = 5 cm, 0.5 rad a step; "
        "gripper -1 opens, +1 closes",
        action_names=ACTION_NAMES,
        control_hz=20.0,
        cameras=dict.fromkeys(cameras, (size, size)),
        image_convention="upright: the simulator's picture rotated by 180 degrees, as published LIBERO data",
        state_names=STATE_NAMES,
        success_rule=success_rule,
        protocol=protocol,
    )
