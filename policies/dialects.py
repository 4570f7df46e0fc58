"""A robot as the policies of a data set know it: declared conventions, other than the simulator's.

They turn by roll, pitch and yaw, say how far the gripper is to be open, and want smaller pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from playloop.core.contract import Contract
from playloop.core.conventions import altered
from playloop.policies.resampling import area, fit_with_border, lanczos

ACTION_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "opening")
RESIZE: dict[str, Callable[[np.ndarray, tuple[int, int]], np.ndarray]] = {
    "lanczos": lanczos,
    "border": fit_with_border,
    "area": area,
}
"""Name → how a picture is resized, see `core.conventions`.

SimplerEnv's runners: lanczos for Octo, border for RT-1, area for OpenVLA and what was made of it.
"""


@dataclass(frozen=True)
class Dialect:
    """How a data set's policies speak of a robot.

    Args:
        name: of the data set, the family in the policies' contract.
        robot: the environment's family.
        relative: the gripper's command is how much more to close, and it goes on with it.
    """

    name: str
    robot: str
    relative: bool


DIALECTS = {
    "bridge": Dialect("bridge_dataset", "simpler_widowx", relative=False),
    "fractal": Dialect("fractal_dataset", "simpler_google_robot", relative=True),
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
