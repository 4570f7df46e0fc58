"""The WidowX of SimplerEnv's Bridge."""

from __future__ import annotations

from playloop.core.contract import Contract
from playloop.core.conventions import Convention

CAMERA = "3rd_view_camera"
CAMERA_SIZE = (480, 640)
ACTION_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "gripper")
STATE_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "opening")


def bridge_contract(success: Convention | str, protocol: str) -> Contract:
    """The conventions of every published Bridge policy, as SimplerEnv's WidowX takes them."""
    return Contract(
        family="simpler_widowx",
        action=Convention("ee-target-delta-pose", {"orientation": "axis-angle"}),
        action_names=ACTION_NAMES,
        control_hz=5.0,
        cameras={CAMERA: CAMERA_SIZE},
        image=Convention("upright", {"background": "photograph"}),
        state_names=STATE_NAMES,
        success=success,
        protocol=protocol,
        gripper="opens-positive",
        partial=("grasped", "grasped_5_steps", "moved_correct", "moved_wrong"),
    )
