"""What an action does to the joints, as the published control mode

arm_pd_ee_delta_pose_align_interpolate_by_planner_gripper_pd_joint_target_delta_pos_interpolate_by_planner

Source of the formulas: ManiSkill2_real2sim, `agents/controllers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.core.robots import FRACTAL_HZ
from playloop.envs.simpler.fractal.robot import Robot


@dataclass(frozen=True)
class Limits:
    """What every joint keeps: rad/s, rad/s², rad/s³."""

    velocity: float
    acceleration: float
    jerk: float


SIMULATION_HZ = 513
SUBSTEPS = SIMULATION_HZ // FRACTAL_HZ
TIMESTEP = 1.0 / SIMULATION_HZ
ARM_LIMITS = Limits(1.5, 2.0, 50.0)
FINGER_LIMITS = Limits(1.0, 7.0, 50.0)
FINGER_STROKE = 1.31
"""Radians that an action of 1 asks the fingers to move; more than they can, so that they press."""
SLACK = 0.01
"""Radians by which the fingers' goal may exceed their limits."""
NOTHING = 1e-3
"""A gripper command smaller than this, in radians, keeps the last goal."""
ITERATIONS = 100


@dataclass(frozen=True)
class Path:
    """Positions and velocities at the start and after each simulation step, float64 [steps + 1, joints]."""

    positions: np.ndarray
    velocities: np.ndarray


class Controller:
    """Arm and gripper; remembers the last step's plan and must be reset with the robot."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self.model = robot.body.create_pinocchio_model()
        self.mask = np.zeros(len(robot.start), np.int32)
        self.mask[robot.arm] = 1
        self.arm_path: Path | None = None
        self.finger_path: Path | None = None
        self.finger_goal = robot.positions()[robot.fingers]
        self.finger_target = self.finger_goal.copy()
        limits = np.asarray(robot.body.get_qlimits(), np.float64)[robot.fingers]
        self.finger_range = limits[:, 0] - SLACK, limits[:, 1] + SLACK

    def command(self, action: np.ndarray) -> None:
        """Plan one control step.

        Args:
            action: [7]: metres along the base's axes, rotation vector about them, gripper (+1 closes).
        """
        self.arm_path = self._plan_arm(action[:6])
        self.finger_path = self._plan_fingers(float(action[6]))

    def substep(self, step: int) -> None:
        """Set the drives for simulation step `step` of the control step, from 1."""
        assert self.arm_path is not None and self.finger_path is not None  # commanded before
        self.robot.carry_own_weight()
        self.robot.drive(self.robot.arm, self.arm_path.positions[step])
        self.finger_target = self.finger_path.positions[step]
        self.robot.drive(self.robot.fingers, self.finger_target, self.finger_path.velocities[step])

    def _plan_arm(self, action: np.ndarray) -> Path:
        """To the pose beside the present one; the plan goes on from where the last one was to be by now."""
        now = self.robot.positions()
        goal = self.solve(self.target(action), now)
        if self.arm_path is None:
            start = now[self.robot.arm]
            velocity = self.robot.velocities()[self.robot.arm]
            velocity = np.clip(velocity, -ARM_LIMITS.velocity, ARM_LIMITS.velocity)
        else:
            start, velocity = self.arm_path.positions[-1], self.arm_path.velocities[-1]
        reached = now[self.robot.arm] if goal is None else goal
        return plan(start, velocity, reached, ARM_LIMITS)

    def target(self, action: np.ndarray) -> Any:
        """The hand's pose in the base frame that an action asks for: moved and turned about itself."""
        import sapien

        hand = self.robot.hand()
        turn = Rotation.from_rotvec(action[3:6]).as_quat(scalar_first=True)
        turned = sapien.Pose(q=turn) * sapien.Pose(q=hand.q)
        return sapien.Pose(hand.p + action[:3], turned.q)

    def solve(self, pose: Any, start: np.ndarray) -> np.ndarray | None:
        """Arm joints [9] for a pose of the hand in the base frame; None where the iteration does not arrive.

        SAPIEN 3 carries the solver that upstream calls (Pinocchio's closed-loop inverse kinematics), with the
        same tolerance 1e-4, step 0.1 and damping 1e-6.
        """
        found, arrived, _ = self.model.compute_inverse_kinematics(
            self.robot.hand_index,
            pose,
            initial_qpos=start,
            active_qmask=self.mask,
            max_iterations=ITERATIONS,
        )
        return np.asarray(found)[self.robot.arm] if arrived else None

    def _plan_fingers(self, command: float) -> Path:
        """Relative to the goal that the drives had last; from where the fingers are."""
        change = FINGER_STROKE * float(np.clip(command, -1.0, 1.0))
        if abs(change) >= NOTHING:
            self.finger_goal = np.clip(self.finger_target + change, *self.finger_range)
        now = self.robot.positions()[self.robot.fingers]
        velocity = self.robot.velocities()[self.robot.fingers]
        velocity = np.clip(velocity, -FINGER_LIMITS.velocity, FINGER_LIMITS.velocity)
        return plan(now, velocity, self.finger_goal, FINGER_LIMITS)


def plan(
    start: np.ndarray, velocity: np.ndarray, goal: np.ndarray, limits: Limits, steps: int = SUBSTEPS
) -> Path:
    """The jerk-limited motion, as short as possible, all joints arriving together (ruckig, as upstream).

    From a moving start, without acceleration, to rest at the goal; the first `steps` steps of it.

    Args:
        start: joint positions [joints].
        velocity: at the start [joints].
        goal: joint positions [joints].
        limits: of every joint.
        steps: simulation steps in a control step.

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
    times = np.minimum(np.arange(steps + 1) * TIMESTEP, trajectory.duration)
    points = [trajectory.at_time(float(time)) for time in times]
    return Path(np.array([point[0] for point in points]), np.array([point[1] for point in points]))
