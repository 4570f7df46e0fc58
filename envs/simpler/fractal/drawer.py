"""Open and close a drawer. Rules: ManiSkill2_real2sim, `open_drawer_in_scene.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.envs.simpler.fractal.layouts import CLOSE, DRAWERS
from playloop.envs.simpler.fractal.scene import Kitchen
from playloop.envs.simpler.fractal.tasks import Task

OPENED, CLOSED, AJAR = 0.15, 0.05, 0.2
"""Metres of opening: enough to be open, little enough to be shut, and that of a drawer to be closed."""
HANDLE, EDGE = (0.3425, 0.0, 0.02), (0.305, 0.0, 0.07)
"""In a drawer's frame, metres: middle of the handle, and of its front's upper edge."""


class Drawer(Task):
    """Success: the drawer is at least 15 cm open, or at most 5 cm."""

    def furnish(self, kitchen: Kitchen) -> None:
        self.kitchen = kitchen
        kitchen.add_cabinet()
        self.link, self.index = find_drawer(kitchen, self.layout.drawer)

    def begin(self) -> None:
        positions = np.zeros(len(DRAWERS))
        if self.setup.task == CLOSE:
            positions[self.index] = AJAR
        self.kitchen.cabinet.set_qpos(positions)
        self.kitchen.cabinet.set_qvel(np.zeros(len(DRAWERS)))

    def judge(self, steps: int) -> tuple[bool, dict[str, Any]]:
        opening = self.opening()
        done = opening <= CLOSED if self.setup.task == CLOSE else opening >= OPENED
        return done, {"qpos": opening}

    def opening(self) -> float:
        """Metres."""
        return float(self.kitchen.cabinet.get_qpos()[self.index])

    def truth(self) -> dict[str, np.ndarray]:
        pose = np.asarray(self.link.entity.pose.to_transformation_matrix(), np.float64)
        return {
            "handle": pose[:3, :3] @ HANDLE + pose[:3, 3],
            "edge": pose[:3, :3] @ EDGE + pose[:3, 3],
            "handle_axis": pose[:3, 0].copy(),
            "drawer": np.array([self.opening()]),
        }


def find_drawer(kitchen: Kitchen, name: str) -> tuple[Any, int]:
    """A drawer's link, and the index of its joint."""
    joints = [joint.name for joint in kitchen.cabinet.active_joints]
    return kitchen.cabinet.find_link_by_name(f"{name}_drawer"), joints.index(f"{name}_drawer_joint")
