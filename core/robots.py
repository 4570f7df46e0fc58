"""Robots that policies and simulators share: the conventions under which each is driven."""

from __future__ import annotations

import numpy as np

from playloop.core.contract import Contract
from playloop.core.conventions import Convention

PANDA_CAMERAS = ("agentview", "robot0_eye_in_hand")
PANDA_SIDE = 256
"""Sides of LIBERO's pictures as published."""
BRIDGE_CAMERA = "3rd_view_camera"
FRACTAL_CAMERA, FRACTAL_SIZE = "overhead_camera", (512, 640)
FRACTAL_HZ = 3

POSE = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z")
FRACTAL_STATE = (*POSE, "gripper_opening")
PARTIAL = ("grasped", "grasped_5_steps", "moved_correct", "moved_wrong")
"""How far an episode of SimplerEnv got."""
GRIPPERS = {
    "closes-positive": (-1.0, 1.0),
    "opens-positive": (1.0, -1.0),
    "relative-closes-positive": (-1.0, 1.0),
    "opening": (1.0, 0.0),
}
"""Convention of a gripper's number → what opens it, and what shuts it."""


def resting_action(contract: Contract) -> np.ndarray:
    """The action float32 [A] that moves nothing: all zero, but a gripper that must be told stays open.

    All known actions are movements or keys, so that zero is none; an action of the user's own is taken to be
    one, too.

    >>> resting_action(bridge_contract("any", "standard"))[-1]
    np.float32(1.0)
    """
    action = np.zeros(len(contract.action_names), np.float32)
    id_ = getattr(contract.gripper, "id", None)
    if "gripper" in contract.action_names and id_ in GRIPPERS and id_ != "relative-closes-positive":
        action[contract.action_names.index("gripper")] = GRIPPERS[id_][0]
    return action


def arm_contract(
    family: str, size: int, success: Convention | str, protocol: str, cameras: tuple[str, ...] = PANDA_CAMERAS
) -> Contract:
    """The conventions of every published LIBERO policy, and of robosuite's own tasks."""
    return Contract(
        family=family,
        action=Convention("osc-pose-delta", {"translation": 0.05, "rotation": 0.5}),
        action_names=("x", "y", "z", "roll", "pitch", "yaw", "gripper"),
        control_hz=20.0,
        cameras=dict.fromkeys(cameras, (size, size)),
        image=Convention("upright", {"rotated": 180}),
        state_names=(*POSE, "finger_left", "finger_right"),
        success=success,
        protocol=protocol,
        gripper="closes-positive",
    )


def bridge_contract(success: Convention | str, protocol: str) -> Contract:
    """The conventions of every published Bridge policy, as SimplerEnv's WidowX takes them."""
    return Contract(
        family="simpler_widowx",
        action=Convention("ee-target-delta-pose", {"orientation": "axis-angle"}),
        action_names=(*POSE, "gripper"),
        control_hz=5.0,
        cameras={BRIDGE_CAMERA: (480, 640)},
        image=Convention("upright", {"background": "photograph"}),
        state_names=(*POSE, "opening"),
        success=success,
        protocol=protocol,
        gripper="opens-positive",
        partial=PARTIAL,
    )


def fractal_contract(success: Convention | str, protocol: str) -> Contract:
    """The conventions of SimplerEnv's Google robot."""
    return Contract(
        family="simpler_google_robot",
        action=Convention("ee-delta-pose", {"orientation": "axis-angle"}),
        action_names=(*POSE, "gripper"),
        control_hz=float(FRACTAL_HZ),
        cameras={FRACTAL_CAMERA: FRACTAL_SIZE},
        image=Convention("upright", {"background": "photograph-or-simulated"}),
        state_names=FRACTAL_STATE,
        success=success,
        protocol=protocol,
        gripper="relative-closes-positive",
        partial=PARTIAL,
    )
