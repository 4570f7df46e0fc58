"""Where things are in a SAPIEN scene: their poses and the corners of their collision shapes."""

from __future__ import annotations

from typing import Any

import numpy as np


def corners_of(body: Any) -> np.ndarray:
    """Corners [N, 3] of a rigid body's convex collision shapes, in the body's own frame, metres.

    Args:
        body: `sapien.physx.PhysxRigidBaseComponent`.
    """
    found = []
    for shape in body.collision_shapes:
        corners = np.asarray(shape.vertices) * np.asarray(shape.scale)
        found.append(corners @ matrix_of(shape.local_pose)[:3, :3].T + shape.local_pose.p)
    return np.concatenate(found)


def pose_vector(pose: Any) -> np.ndarray:
    """`sapien.Pose` → position and quaternion (w, x, y, z), float64 [7]."""
    return np.concatenate([pose.p, pose.q]).astype(np.float64)


def matrix_of(pose: Any) -> np.ndarray:
    """`sapien.Pose` → [4, 4]."""
    return np.asarray(pose.to_transformation_matrix(), np.float64)


def moved(corners: np.ndarray, pose: Any) -> np.ndarray:
    """Corners [N, 3] of a body at a pose, in the world."""
    return corners @ matrix_of(pose)[:3, :3].T + np.asarray(pose.p, np.float64)


def box_around(corners: np.ndarray) -> np.ndarray:
    """The lowest and the highest of each coordinate, [2, 3]."""
    return np.stack([corners.min(0), corners.max(0)])
