"""The Google robot of SimplerEnv's Fractal."""

from __future__ import annotations

from playloop.core.contract import Contract

CAMERA = "overhead_camera"
CAMERA_SIZE = (512, 640)
CONTROL_HZ = 3
ACTION_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "gripper")
STATE_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "gripper_opening")
PARTIAL = ("grasped", "grasped_5_steps", "moved_correct", "moved_wrong")


def fractal_contract(success_rule: str, protocol_name: str) -> Contract:
    """The conventions of SimplerEnv's Google robot."""
    return Contract(
        family="simpler_google_robot",
        action="hand's movement along the base's axes in metres and its rotation vector about them in "
        "radians, from where it is; gripper relative, +1 closes, -1 opens, 0 goes on",
        action_names=ACTION_NAMES,
        control_hz=float(CONTROL_HZ),
        cameras={CAMERA: CAMERA_SIZE},
        image_convention="upright; robot and objects over a photograph of the real place, or all simulated",
        state_names=STATE_NAMES,
        success_rule=success_rule,
        protocol=protocol_name,
        partial=PARTIAL,
    )
