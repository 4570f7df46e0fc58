"""Rotations and grippers of SimplerEnv's robots, against independent computations."""

import math

import numpy as np
import pytest

from playloop.envs.simpler.actions import (
    STICKY,
    Grip,
    absolute_gripper,
    angles_of,
    axis_angle_of,
    relative_gripper,
)


def turn(axis: int, angle: float) -> np.ndarray:
    """The matrix of a rotation about x, y or z, written out."""
    matrix, (a, b) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[b, a], matrix[a, b] = math.sin(angle), -math.sin(angle)
    return matrix


def matrix_of(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    angle = np.linalg.norm(axis_angle)
    x, y, z = axis_angle / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def test_angles_turn_about_fixed_axes_x_first():
    for angles in np.random.default_rng(0).uniform(-1.5, 1.5, (50, 3)):
        wanted = turn(2, angles[2]) @ turn(1, angles[1]) @ turn(0, angles[0])
        np.testing.assert_allclose(matrix_of(axis_angle_of(angles)), wanted, atol=1e-12)


def test_both_rotations_are_each_others_inverse():
    angles = np.random.default_rng(1).uniform(-1.5, 1.5, (4, 7, 3))
    np.testing.assert_allclose(angles_of(axis_angle_of(angles)), angles, atol=1e-12)
    assert not axis_angle_of(np.zeros(3)).any()
    with pytest.raises(ValueError, match=r"\[\.\.\., 3\]"):
        axis_angle_of(np.zeros(4))


def test_widowx_opens_or_closes():
    assert [absolute_gripper(opening) for opening in (0.0, 0.5, 0.51, 1.0)] == [-1, -1, 1, 1]


def commands(openings):
    grip, found = Grip(), []
    for opening in openings:
        grip, command = relative_gripper(grip, opening)
        found.append(command)
    return found


def test_a_change_goes_on_for_fifteen_steps():
    assert commands([1.0] * 3 + [0.0] * 20) == [0.0] * 3 + [1.0] * STICKY + [0.0] * 5


def test_what_is_asked_for_meanwhile_does_not_count_but_what_comes_behind_does():
    # Closed at step 1; opened for a moment at step 5, which is lost; opened at step 16, which counts again.
    openings = [1.0, *[0.0] * 4, 1.0, *[0.0] * 10, *[1.0] * 20]
    assert commands(openings) == [0.0, *[1.0] * STICKY, *[-1.0] * STICKY, *[0.0] * 5]


def test_a_small_change_is_given_once():
    assert commands([1.0, 0.75, 0.75, 0.25, 0.25]) == [0.0, 0.25, 0.0, 0.5, 0.0]
