"""Where a parallel gripper can hold an object from above, and which of these grasps is free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDEST_GRASP = 0.07
"""Objects narrower than this, metres, are held around their middle; wider ones (a bowl) at their rim."""
COMFORTABLE_REACH = 0.81
"""Horizontal distance from the arm's base, metres, beyond which the controller tilts the hand."""
HAND = np.array([[-0.035, -0.105, 0.045], [0.035, 0.105, 0.20]])
"""Box [2, 3] of the Panda's hand relative to the point between its fingertips; the fingers close along y."""
FINGERS = np.array(
    [[[-0.013, 0.036, -0.012], [0.013, 0.062, 0.05]], [[-0.013, -0.062, -0.012], [0.013, -0.036, 0.05]]]
)
"""Boxes [2, 2, 3] of the opened fingers."""


@dataclass(frozen=True)
class Grasp:
    """One way to hold an object.

    Args:
        offset: the point between the fingertips minus the middle of the object's box, metres [3].
        turned: the hand is turned by a quarter, so that the fingers close along x.
    """

    offset: np.ndarray
    turned: bool = False


def rank_grasps(truth: dict[str, np.ndarray]) -> list[Grasp]:
    """All candidate grasps of `truth["pick"]`, the one that runs least into obstacles first.

    Ties go to the candidate nearest to the object's middle with an unturned hand, so that like scenes are
    grasped alike: demonstrations that choose at random are harder to learn from.
    """
    low, high = truth["pick"]
    middle, size = (low + high) / 2, high - low
    candidates = _around_middle(size) if min(size[:2]) < WIDEST_GRASP else _at_rim(size)
    costs = [
        _cost(grasp, middle, truth["obstacles"]) + _stretch(middle + grasp.offset - truth["base"])
        for grasp in candidates
    ]
    return [candidates[index] for index in np.argsort(costs, kind="stable")]


def _around_middle(size: np.ndarray) -> list[Grasp]:
    height = size[2] / 2 - min(0.03, size[2] / 2)
    found = []
    for turned in (False, True):
        along, across = (1, 0) if turned else (0, 1)
        if size[across] >= WIDEST_GRASP:
            continue
        for share in (0.0, -0.35, 0.35, -0.7, 0.7):
            offset = np.array([0.0, 0.0, height])
            offset[along] = share * max(0.0, size[along] / 2 - 0.01)
            found.append(Grasp(offset, turned))
    return found


def _at_rim(size: np.ndarray) -> list[Grasp]:
    found = []
    for turned in (False, True):
        along, across = (1, 0) if turned else (0, 1)
        for sign in (1.0, -1.0):
            for angle in (0.0, 0.35, -0.35):
                offset = np.array([0.0, 0.0, size[2] / 2 - 0.022])
                offset[along] = np.sin(angle) * (size[along] / 2 - 0.006)
                offset[across] = sign * np.cos(angle) * (size[across] / 2 - 0.006)
                found.append(Grasp(offset, turned))
    return found


def _cost(grasp: Grasp, middle: np.ndarray, obstacles: np.ndarray) -> float:
    """How deep hand and fingers would stand in obstacles, metres, plus a little for being unusual."""
    shapes = np.concatenate([HAND[None], FINGERS])  # [3, 2, 3]
    if grasp.turned:
        shapes = shapes[..., [1, 0, 2]]
    shapes = shapes + (middle + grasp.offset)
    overlap = np.minimum(shapes[:, None, 1], obstacles[None, :, 1]) - np.maximum(
        shapes[:, None, 0], obstacles[None, :, 0]
    )
    depth = np.clip(overlap.min(-1) + 0.004, 0.0, None)  # [3, K]; 4 mm are kept free
    unusual = 0.002 * float(np.linalg.norm(grasp.offset[:2])) + 0.003 * grasp.turned
    return float(depth.sum()) + unusual


def _stretch(reach: np.ndarray) -> float:
    """How far the arm must stretch beyond what it does with its hand upright, as a cost."""
    return 0.2 * max(0.0, float(np.linalg.norm(reach[:2])) - COMFORTABLE_REACH)
