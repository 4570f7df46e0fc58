"""The Google robot of SimplerEnv's Fractal."""

from __future__ import annotations

from playloop.core.contract import Contract
from playloop.core.conventions import Convention

CAMERA = "overhead_camera"
CAMERA_SIZE = (512, 640)
CONTROL_HZ = 3
ACTION_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "gripper")
STATE_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "gripper_opening")
PARTIAL = ("grasped", "grasped_5_steps", "moved_correct", "moved_wrong")


def fractal_contract(success: Convention | str, protocol: str) -> Contract:
    """The conventions of SimplerEnv's Google robot."""
    return Contract(
        family="simpler_google_robot",
        action=Convention("ee-delta-pose", {"orientation": "axis-angle"}),
        action_names=ACTION_NAMES,
        control_hz=float(CONTROL_HZ),
        cameras={CAMERA: CAMERA_SIZE},
        image=Convention("upright", {"background": "photograph-or-simulated"}),
        state_names=STATE_NAMES,
        success=success,
        protocol=protocol,
        gripper="relative-closes-positive",
        partial=PARTIAL,
    )
