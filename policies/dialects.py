"""How published policies of Bridge and Fractal see and move a robot.

They turn by roll, pitch and yaw, say how far the gripper is to be open, and want smaller pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from playloop.core.contract import Contract
from playloop.core.conventions import altered
from playloop.core.robots import BRIDGE_CAMERA, FRACTAL_CAMERA

ACTION_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "opening")


@dataclass(frozen=True)
class Dialect:
    """How a data set's policies speak of a robot: their contract's family is the data set, the robot's is the
    environment's. A relative gripper's command is how much more to close, and it goes on with it."""

    name: str
    robot: str
    camera: str
    relative: bool


DIALECTS = {
    "bridge": Dialect("bridge_dataset", "simpler_widowx", BRIDGE_CAMERA, relative=False),
    "fractal": Dialect("fractal_dataset", "simpler_google_robot", FRACTAL_CAMERA, relative=True),
}


def dialect_contract(dialect: Dialect, robot: Contract, size: tuple[int, int], resize: str) -> Contract:
    """The conventions under which a data set's policies see and move a robot."""
    return replace(
        robot,
        family=dialect.name,
        action=altered(robot.action, orientation="euler-xyz"),
        action_names=ACTION_NAMES,
        gripper="opening",
        cameras=dict.fromkeys(robot.cameras, size),
        image=altered(robot.image, resized=resize),
    )
