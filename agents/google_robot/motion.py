"""How the Google robot's hand is moved: an expert's memory, its aims, the actions that approach them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.agents.phases import Phase, rotation_of

OPEN, CLOSE, STAY = -1.0, 1.0, 0.0
DOWN = np.array([0.0, 0.0, -1.0])


@dataclass(frozen=True)
class GooglePhase(Phase):
    """What is remembered of an episode.

    Args:
        rotation: how the hand is held, world frame, rows of a 3x3 matrix.
        offset: from the object's middle to the hand while it is held, metres.
        goal: where the object goes, or the drawer's edge is pulled, metres.
        height: at which the hand travels, metres.
        last: where the hand was one action ago.
    """

    phase: str = "start"
    rotation: np.ndarray | None = None
    offset: np.ndarray | None = None
    goal: np.ndarray | None = None
    height: float = 0.0
    last: np.ndarray | None = None


@dataclass(frozen=True)
class Aim:
    """Where the hand should be, world frame: point [3], rotation [3, 3]; and the gripper's command."""

    point: np.ndarray
    rotation: np.ndarray
    gripper: float


def step_towards(
    aim: Aim, truth: dict[str, np.ndarray], gain: float, reach: float, widest: float
) -> np.ndarray:
    """The action [6] that brings the hand nearer, in the base's axes.

    Args:
        aim: where the hand should be.
        truth: see `FractalEnv.privileged`.
        gain: share of the remaining way.
        reach: longest step, metres.
        widest: widest turn, radians.
    """
    base = Rotation.from_euler("z", truth["base_yaw"][0]).inv()
    way = base.apply(aim.point - truth["eef"][:3]) * gain
    way /= max(1.0, float(np.linalg.norm(way)) / reach)
    now = rotation_of(truth["eef"])
    turn = base.apply((Rotation.from_matrix(aim.rotation) * now.inv()).as_rotvec()) * gain
    turn /= max(1.0, float(np.linalg.norm(turn)) / widest)
    return np.concatenate([way, turn])


def frame(approach: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The hand's rotation [3, 3] that looks along `approach` and closes along `across`."""
    return np.stack([np.cross(across, approach), across, approach], axis=1)


def angle_between(truth: dict[str, np.ndarray], rotation: np.ndarray | None) -> float:
    """Between how the hand is held and how it should be, radians."""
    now = rotation_of(truth["eef"])
    return float((Rotation.from_matrix(np.asarray(rotation)) * now.inv()).magnitude())
