"""The motion law between two control steps: jerk-limited, as short as possible, all joints arriving together.

Upstream plans with the same library (ruckig); its parameters are in `controller`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Limits:
    """Of every joint: rad/s, rad/s², rad/s³."""

    velocity: float
    acceleration: float
    jerk: float


@dataclass(frozen=True)
class Path:
    """Positions and velocities at the start and after each simulation step, float64 [steps + 1, joints]."""

    positions: np.ndarray
    velocities: np.ndarray


def plan(
    start: np.ndarray, velocity: np.ndarray, goal: np.ndarray, limits: Limits, steps: int, timestep: float
) -> Path:
    """From a moving start, without acceleration, to rest at the goal; the first `steps` steps of it.

    Args:
        start: joint positions [joints].
        velocity: at the start [joints].
        goal: joint positions [joints].
        limits: of every joint.
        steps: simulation steps in a control step.
        timestep: seconds in a simulation step.

    Raises:
        ModuleNotFoundError: ruckig is not installed.
        ValueError: no motion keeps the limits.
    """
    try:
        import ruckig
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Fractal's controller plans with ruckig: pip install ruckig") from error
    joints = len(start)
    wanted = ruckig.InputParameter(joints)
    wanted.current_position, wanted.current_velocity = list(start), list(velocity)
    wanted.current_acceleration = wanted.target_velocity = wanted.target_acceleration = [0.0] * joints
    wanted.target_position = list(goal)
    wanted.max_velocity = [limits.velocity] * joints
    wanted.max_acceleration = [limits.acceleration] * joints
    wanted.max_jerk = [limits.jerk] * joints
    trajectory = ruckig.Trajectory(joints)
    result = ruckig.Ruckig(joints).calculate(wanted, trajectory)
    if result not in (ruckig.Result.Working, ruckig.Result.Finished):
        raise ValueError(f"no motion from {start} to {goal} keeps {limits}: {result}")
    times = np.minimum(np.arange(steps + 1) * timestep, trajectory.duration)
    points = [trajectory.at_time(float(time)) for time in times]
    return Path(np.array([point[0] for point in points]), np.array([point[1] for point in points]))
