"""Axis-aligned boxes around the collision shapes of a MuJoCo scene: a scripted expert's obstacles."""

from __future__ import annotations

from typing import Any

import numpy as np

ROBOT_PREFIXES = ("robot0_", "gripper0_", "mount0_")


class CollisionShapes:
    """The solid shapes of a scene except the robot's and the endless floor.

    Args:
        model: `mujoco.MjModel`.
    """

    def __init__(self, model: Any) -> None:
        import mujoco

        self._parents = np.array(model.body_parentid)
        names = [
            mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, body) or "" for body in range(model.nbody)
        ]
        solid = (model.geom_contype > 0) | (model.geom_conaffinity > 0)
        plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        robot = np.array([names[body].startswith(ROBOT_PREFIXES) for body in model.geom_bodyid])
        self._geoms = np.flatnonzero(solid & ~plane & ~robot)  # [K]
        self._bodies = np.array(model.geom_bodyid)[self._geoms]
        self._centres = model.geom_aabb[self._geoms, :3].copy()  # [K, 3], in the shape's own frame
        self._halves = model.geom_aabb[self._geoms, 3:].copy()
        self._members: dict[int, np.ndarray] = {}

    def boxes(self, data: Any) -> np.ndarray:
        """World boxes of all shapes now: [K, 2, 3], lower and upper corner, metres."""
        rotations = data.geom_xmat[self._geoms].reshape(-1, 3, 3)
        middle = data.geom_xpos[self._geoms] + np.einsum("kij,kj->ki", rotations, self._centres)
        reach = np.einsum("kij,kj->ki", np.abs(rotations), self._halves)
        return np.stack([middle - reach, middle + reach], 1)

    def belongs(self, body: int) -> np.ndarray:
        """Which shapes hang on a body or its descendants: bool [K]."""
        if body not in self._members:
            family = {body}
            for child in range(body + 1, len(self._parents)):  # MuJoCo numbers parents before their children
                if self._parents[child] in family:
                    family.add(child)
            self._members[body] = np.isin(self._bodies, sorted(family))
        return self._members[body]

    def around(self, boxes: np.ndarray, body: int) -> np.ndarray:
        """The box [2, 3] around one body's shapes; not a number where it has none."""
        own = boxes[self.belongs(body)]
        if not len(own):
            return np.full((2, 3), np.nan)
        return np.stack([own[:, 0].min(0), own[:, 1].max(0)])
