"""Ground truth that every task has: poses and boxes in the world frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.envs.simpler.fractal.robot import HAND
from playloop.envs.simpler.fractal.scene import Kitchen


def vector(pose: Any) -> np.ndarray:
    """A pose as position and quaternion (w, x, y, z), float64 [7]."""
    return np.concatenate([pose.p, pose.q]).astype(np.float64)


def box(body: Any) -> np.ndarray:
    """Lower and upper corner around a body's collision shapes, float64 [2, 3]."""
    return np.asarray(body.compute_global_aabb_tight(), np.float64)


def ground_truth(kitchen: Kitchen) -> dict[str, np.ndarray]:
    """See `FractalEnv.privileged`."""
    robot = kitchen.robot
    found = {
        "eef": vector(robot.links[HAND].entity.pose),
        "fingers": robot.positions()[robot.fingers],
        "base": np.asarray(robot.body.pose.p, np.float64),
        "base_yaw": np.array([robot.stand[1] + np.pi]),
    }
    for name, entity in kitchen.objects.items():
        found[f"object/{name}"] = vector(entity.pose)
        found[f"box/{name}"] = box(kitchen.bodies[name])
    return found
