"""The Google robot: loaded, posed, and where its hand and fingers are.

Numbers: ManiSkill2_real2sim, `agents/configs/google_robot/defaults.py` and `envs/custom_scenes/base_env.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from playloop.envs.simpler.env import parts_of

ARM = ("torso", "shoulder", "bicep", "elbow", "forearm", "wrist", "gripper", "head_pan", "head_tilt")
FINGERS = ("finger_right", "finger_left")
START = {
    "torso": -0.2639457174606611,
    "shoulder": 0.0831913360274175,
    "bicep": 0.5017611504652179,
    "elbow": 1.156859026208673,
    "forearm": 0.028583671314766423,
    "wrist": 1.592598203487462,
    "gripper": -1.080652960128774,
    "finger_right": 0.0,
    "finger_left": 0.0,
    "head_pan": -0.00285961,
    "head_tilt": 0.7851361,
}
"""Joint → position at the start, radians."""
HEIGHT = 0.06205 + 0.017
"""Height of the base above the floor, metres: its own, and the floor's thickness."""
STIFFNESS = (
    1700.0,
    1737.0471680861954,
    979.975871856535,
    930.0,
    1212.154500274304,
    432.96500923932535,
    468.0013365498738,
    2000.0,
    2000.0,
)
DAMPING = (
    1059.9791902443303,
    1010.4720585373592,
    767.2803161582076,
    680.0,
    674.9946964336588,
    274.613381336198,
    340.532560578637,
    900.0,
    900.0,
)
FORCE = (300.0, 300.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0)
FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE = 200.0, 8.0, 60.0
HAND, CAMERA_LINK = "link_gripper_tcp", "link_camera"
FINGER_LINKS = {side: (f"link_finger_{side}", f"link_finger_tip_{side}") for side in ("left", "right")}

_RUBBER, _NAIL = (2.0, 2.0, 0.0), (0.1, 0.1, 0.0)
SURFACES: dict[str, tuple[tuple[float, float, float], float]] = {
    "link_base": ((0.1, 0.0, 0.0), 0.1),
    "link_wheel_left": ((1.0, 0.0, 0.0), 0.1),
    "link_wheel_right": ((1.0, 0.0, 0.0), 0.1),
    **{name: (_RUBBER, 0.1) for links in FINGER_LINKS.values() for name in links},
    **{f"link_finger_nail_{side}": (_NAIL, 0.01) for side in FINGER_LINKS},
}
"""Link → static friction, dynamic friction, restitution; and the radius in metres for torsional friction."""


class Robot:
    """The articulation under names instead of indices."""

    def __init__(self, scene: Any, urdf: Path, glossy: bool) -> None:
        loader = scene.create_urdf_loader()
        loader.fix_root_link = True
        loader.load_multiple_collisions_from_file = True
        for name, (material, radius) in SURFACES.items():
            loader.set_link_material(name, *material)
            loader.set_link_patch_radius(name, radius)
            loader.set_link_min_patch_radius(name, radius)
        self.body = loader.load(str(urdf))
        self.links = {link.name: link for link in self.body.links}
        self.hand_index = [link.name for link in self.body.links].index(HAND)
        # the engine sorts joints by depth, which is not the order of the published numbers
        order = [joint.name.removeprefix("joint_") for joint in self.body.active_joints]
        self.arm = np.array([order.index(name) for name in ARM])
        self.fingers = np.array([order.index(name) for name in FINGERS])
        self.start = np.array([START[name] for name in order])
        self.stand: tuple[tuple[float, float], float] = ((0.0, 0.0), 0.0)
        for link in self.body.links if glossy else ():
            for part in parts_of(link.entity):
                part.material.specular, part.material.roughness = 0.9, 0.3

    def reset(self, xy: tuple[float, float], yaw: float) -> None:
        """Put it at rest into its first posture at x, y (metres), turned by `yaw` from looking along -x."""
        import sapien

        self.stand = xy, yaw
        joints = self.body.active_joints
        for index, *drive in zip(self.arm, STIFFNESS, DAMPING, FORCE, strict=True):
            joints[index].set_drive_properties(*drive, mode="force")
        for index in self.fingers:
            joints[index].set_drive_properties(FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE, mode="force")
        still = np.zeros(len(joints))
        for joint in joints:
            joint.set_friction(0.0)
        self.body.set_qpos(self.start)
        self.body.set_qvel(still)
        self.body.set_qacc(still)
        self.body.set_qf(still)
        half = (yaw + np.pi) / 2
        self.body.set_pose(sapien.Pose([*xy, HEIGHT], [np.cos(half), 0.0, 0.0, np.sin(half)]))

    def positions(self) -> np.ndarray:
        """Positions of all joints, the engine's order, float64 [11]."""
        return np.asarray(self.body.get_qpos(), np.float64)

    def velocities(self) -> np.ndarray:
        """Velocities of all joints, float64 [11]."""
        return np.asarray(self.body.get_qvel(), np.float64)

    def drive(self, indices: np.ndarray, targets: np.ndarray, velocities: np.ndarray | None = None) -> None:
        """Set the goals of some joints' drives; their velocity goals too where given."""
        joints = self.body.active_joints
        for row, index in enumerate(indices):
            joints[index].set_drive_target(float(targets[row]))
            if velocities is not None:
                joints[index].set_drive_velocity_target(float(velocities[row]))

    def carry_own_weight(self) -> None:
        """Balance gravity and Coriolis forces for the next simulation step."""
        self.body.set_qf(self.body.compute_passive_force(gravity=True, coriolis_and_centrifugal=True))

    def hand(self) -> Any:
        """The hand's pose in the base frame."""
        return self.body.pose.inv() * self.links[HAND].entity.pose

    def opening(self) -> float:
        """1 where the fingers are wide open, 0 where they are shut."""
        limits = np.asarray(self.body.get_qlimits())[self.fingers, -1]
        return float(1.0 - max(np.mean(self.positions()[self.fingers] / limits), 0.0))
