"""The WidowX of SimplerEnv's Bridge."""

from __future__ import annotations

from playloop.core.contract import Contract

CAMERA = "3rd_view_camera"
CAMERA_SIZE = (480, 640)
ACTION_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "gripper")
STATE_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "opening")


def bridge_contract(success_rule: str, protocol: str) -> Contract:
    """The conventions of every published Bridge policy, as SimplerEnv's WidowX takes them."""
    return Contract(
        family="simpler_widowx",
        action="movement of the hand's target in the base frame, metres; its rotation about the base's axes, "
        "axis times angle, radians; gripper +1 opens, -1 closes",
        action_names=ACTION_NAMES,
        control_hz=5.0,
        cameras={CAMERA: CAMERA_SIZE},
        image_convention="upright; robot and objects over a photograph of the real place",
        state_names=STATE_NAMES,
        success_rule=success_rule,
        protocol=protocol,
        partial=("grasped", "grasped_5_steps", "moved_correct", "moved_wrong"),
    )
