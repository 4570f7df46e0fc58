"""A kitchen's state as one vector, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.envs.simpler.fractal.scene import Kitchen

RIGID = 13
"""Numbers of a rigid body: position, quaternion, velocity, spin."""


def take(kitchen: Kitchen) -> np.ndarray:
    """Joint positions and velocities of robot and cabinet, then the state of every object, float64."""
    parts: list[Any] = [part for body in _jointed(kitchen) for part in (body.get_qpos(), body.get_qvel())]
    for name, entity in kitchen.objects.items():
        body = kitchen.bodies[name]
        parts += [entity.pose.p, entity.pose.q, body.linear_velocity, body.angular_velocity]
    return np.concatenate(parts).astype(np.float64)


def put(kitchen: Kitchen, state: np.ndarray) -> None:
    """The inverse of `take`, in a kitchen with the same things in it."""
    import sapien

    check(kitchen, state)
    start = 0
    for body in _jointed(kitchen):
        middle, end = start + body.dof, start + 2 * body.dof
        body.set_qpos(state[start:middle])
        body.set_qvel(state[middle:end])
        start = end
    for name, entity in kitchen.objects.items():
        values, start = state[start : start + RIGID], start + RIGID
        entity.set_pose(sapien.Pose(values[:3], values[3:7]))
        kitchen.bodies[name].set_linear_velocity(values[7:10])
        kitchen.bodies[name].set_angular_velocity(values[10:])


def check(kitchen: Kitchen, state: np.ndarray) -> None:
    """Refuse the state of a kitchen with other things in it.

    Raises:
        ValueError: the state has another length.
    """
    wanted = sum(2 * body.dof for body in _jointed(kitchen)) + RIGID * len(kitchen.objects)
    if state.shape != (wanted,):
        raise ValueError(f"a snapshot of another scene: {state.shape} numbers, not {wanted}")


def _jointed(kitchen: Kitchen) -> list[Any]:
    return [kitchen.robot.body] + ([kitchen.cabinet] if kitchen.cabinet is not None else [])
