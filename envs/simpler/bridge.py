"""Bridge: a WidowX arm on a kitchen's table and sink, four tasks of 24 layouts, simulated by ManiSkill3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.core.episode import FRESH, Episode
from playloop.core.robots import BRIDGE_CAMERA
from playloop.envs.outcome import Outcome
from playloop.envs.simpler import assets, maniskill
from playloop.envs.simpler.env import SimplerEnv, Terms, composite, matrix_of, pose_vector, replaced

LAYOUTS = 24
FINGERS_SHUT, FINGERS_OPEN = 0.015, 0.037
"""Metres that each finger is away from the middle."""
MOVED = 0.03
"""Metres in the plane from which on an object counts as moved."""
PLANE = "dummy_sink_target_plane"
"""The sink's invisible target, which ManiSkill draws as a grey patch."""

POSE = 7
"""Numbers of a pose: position, then quaternion (w, x, y, z)."""
COLLECT = 50
"""Scenes from one collection of their garbage to the next."""


@dataclass(frozen=True)
class BridgeTask:
    """One task: its environment in ManiSkill, its instruction, and its limit of steps."""

    environment: str
    instruction: str
    horizon: int


TASKS = (
    BridgeTask("PutSpoonOnTableClothInScene-v1", "put the spoon on the towel", 60),
    BridgeTask("PutCarrotOnPlateInScene-v1", "put carrot on plate", 60),
    BridgeTask(
        "StackGreenCubeOnYellowCubeBakedTexInScene-v1", "stack the green block on the yellow block", 60
    ),
    BridgeTask("PutEggplantInBasketScene-v1", "put eggplant into yellow basket", 120),
)
"""In the order of the published tables."""


TOO_NEAR = 0.003
"""Metres: a placement whose objects are all nearer than this to a published layout's is drawn again."""


@dataclass(frozen=True)
class Room:
    """Where a task's objects may be put.

    Args:
        spread: metres of the source and the target to either side of the middle, [2, 2] as x, y.
        gap: least distance between the two, metres.
        turn: the source's and the target's yaw may differ by so much, radians, from a published one.
    """

    spread: tuple[tuple[float, float], tuple[float, float]]
    gap: float
    turn: tuple[float, float]


TABLE = ((0.1, 0.1), (0.1, 0.1))
ROOMS = {
    "bridge_spoon_generated_modified": Room(TABLE, 0.14, (np.pi, 0.15)),
    "bridge_carrot_generated_modified": Room(TABLE, 0.14, (np.pi, 0.15)),
    "baked_green_cube_3cm": Room(((0.115, 0.115), (0.115, 0.115)), 0.08, (np.pi / 4, np.pi / 4)),
    "eggplant": Room(((0.015, 0.025), (0.0, 0.0)), 0.0, (np.pi / 2, 0.0)),
}
"""Source object → its room; around the middle of the published positions."""


@dataclass(frozen=True)
class BridgeLayout:
    """Positions [2, 3] in metres and rotations [2, 4] (w, x, y, z) of source and target."""

    positions: np.ndarray
    turns: np.ndarray

    def alone(self) -> dict[str, Any]:
        """Attributes of a ManiSkill environment that knows this layout only, number 0."""
        import torch

        found = {"xyz_configs": self.positions, "quat_configs": self.turns}
        return {name: torch.from_numpy(part.astype(np.float32))[None] for name, part in found.items()}


class BridgeEnv(SimplerEnv):
    """ManiSkill3's Bridge tasks under the one contract.

    Four departures: every episode gets a new scene (see `maniskill.rebuild`); nothing is rendered until
    somebody observes; the rotation of an action is axis times angle, as published (ManiSkill3's own
    controller takes three angles, which differ by up to 10 degrees for large rotations); and the eggplant's
    grey target plane is hidden.
    """

    def __init__(self, terms: Terms, render_mode: str | None = None) -> None:
        assets.require("bridge")
        super().__init__(terms, 1.0, render_mode)
        self._simulation: Any = None
        self._loaded: int | None = None
        self._built, self._shown = 0, False

    def begin(self, episode: Episode) -> None:
        if episode.suite != "bridge" or not 0 <= episode.task < len(TASKS):
            raise ValueError(
                f"no {episode.suite} task {episode.task}: bridge has tasks 0 to {len(TASKS) - 1}"
            )
        if episode.init != FRESH and not 0 <= episode.init < LAYOUTS:
            raise ValueError(f"bridge has layouts 0 to {LAYOUTS - 1}, not {episode.init}")
        task = TASKS[episode.task]
        if self._loaded != episode.task:
            self.close()
            self._simulation, self._loaded = maniskill.make_maniskill(task.environment), episode.task
        self._build(episode)
        self._start(episode.task)
        self._text, self._seen = task.instruction, dict.fromkeys(self.contract.partial, False)

    def advance(self, action: np.ndarray) -> Outcome:
        import torch

        if self._shown:
            raise RuntimeError("a snapshot is shown and PhysX cannot go on from it; begin an episode first")
        action = np.asarray(action, np.float64)
        angles = Rotation.from_rotvec(action[3:6]).as_euler("XYZ")
        given = np.concatenate([action[:3], angles, action[6:]]).astype(np.float32)
        self._simulation._step_action(torch.from_numpy(given)[None])
        self._steps += 1
        found = {name: bool(value.item()) for name, value in self._simulation.evaluate().items()}
        self._watch(found)
        return self._outcome(found["success"], {**self._seen, "on_target": found["success"]})

    def observe(self, images: bool = True) -> dict[str, Any]:
        observation: dict[str, Any] = {"state": self._state(), "instruction": self._text}
        if images:
            observation["images"] = {BRIDGE_CAMERA: self._draw()}
        return observation

    def privileged(self) -> dict[str, np.ndarray]:
        """The arm's base frame, as state and actions; metres, quaternions (w, x, y, z).

        "eef" [7] is the hand's pose, "fingers" [2] their distances from the middle, "object/NAME" [7] an
        object's pose; "pick" and "place" [2, 3] are the boxes around what is moved and where it goes,
        "pick_corners" [N, 3] the corners of the former's collision shapes.
        """
        simulation = self._simulation
        foot = simulation.agent.robot.pose.sp.inv()
        fingers = simulation.agent.robot.get_qpos()[0, -2:].numpy().astype(np.float64)
        truth = {"eef": pose_vector(foot * self._arm.ee_link.pose.sp), "fingers": fingers}
        for name, thing in simulation.objs.items():
            truth[f"object/{name}"] = pose_vector(foot * thing.pose.sp)
        pick, goal = (
            _at(self._corners[name], foot * simulation.objs[name].pose.sp)
            for name in (simulation.source_obj_name, simulation.target_obj_name)
        )
        boxes = {name: np.stack([c.min(0), c.max(0)]) for name, c in (("pick", pick), ("place", goal))}
        return truth | boxes | {"pick_corners": pick}

    def snapshot(self) -> np.ndarray:
        """Joint positions and the poses of everything that moves, float64 [N]."""
        poses = [pose_vector(entity.pose) for entity in self._moving()]
        return np.concatenate([self._simulation.agent.robot._objs[0].qpos, *poses]).astype(np.float64)

    def restore(self, snapshot: np.ndarray) -> None:
        """Show a snapshot of the episode that has begun: for drawing and reading, not for stepping on.

        State, truth and pictures are those of the moment it was taken, to the bit: links are posed one by
        one, as poses from joint positions differ in the last bit from simulated ones. Contacts, drives and
        the controller's target are not in it, so `advance` refuses until an episode begins.

        Raises:
            ValueError: the scene has another number of things that move.
        """
        import sapien

        robot, moving = self._simulation.agent.robot._objs[0], self._moving()
        wanted = robot.dof + POSE * len(moving)
        if np.shape(snapshot) != (wanted,):
            raise ValueError(f"a snapshot of another scene: {np.shape(snapshot)} numbers, not {wanted}")
        joints, poses = np.split(np.asarray(snapshot, np.float32), [robot.dof])
        robot.set_qpos(joints)
        for entity, pose in zip(moving, poses.reshape(-1, POSE), strict=True):
            entity.set_pose(sapien.Pose(pose[:3], pose[3:]))
        self._shown = True

    def close(self) -> None:
        if self._simulation is not None:
            self._simulation.close()
        self._simulation, self._loaded, self._built = None, None, 0

    # -- the simulation --------------------------------------------------------------------------------

    def _build(self, episode: Episode) -> None:
        """A new scene, and what is read from it again and again."""
        from sapien.render import RenderBodyComponent

        simulation, number, layout = self._simulation, episode.init, {}
        if episode.init == FRESH:
            known = published_layouts(simulation)
            drawn = draw_layout(simulation.source_obj_name, known, episode.rng("placement"))
            number, layout = 0, drawn.alone()
        self._built, self._shown = self._built + 1, False
        with replaced(simulation, layout):
            maniskill.rebuild(simulation, number, collect=self._built % COLLECT == 0)
        self._arm = simulation.agent.controller.controllers["arm"]
        things = simulation.objs
        for entity in things[PLANE]._objs if PLANE in things else ():
            entity.find_component_by_type(RenderBodyComponent).visibility = 0.0  # its collision shape stays
        self._corners = {name: _corners_of(thing._bodies[0]) for name, thing in things.items()}
        self._started = {name: thing.pose.p[0, :2].numpy().copy() for name, thing in things.items()}
        self._keep = simulation._segmentation_ids_to_keep.tolist()
        self._photo = simulation._rgb_overlay_images[BRIDGE_CAMERA].numpy()

    def _moving(self) -> list[Any]:
        """Links but the foot, which stands still and would be rounded by being posed; objects."""
        links = [link.entity for link in self._simulation.agent.robot._objs[0].links[1:]]
        return links + [thing._objs[0] for thing in self._simulation.objs.values()]

    def _watch(self, found: dict[str, bool]) -> None:
        """Partial successes: each counts once it has happened."""
        source = self._simulation.source_obj_name
        way = {
            name: float(np.linalg.norm(thing.pose.p[0, :2].numpy() - self._started[name]))
            for name, thing in self._simulation.objs.items()
        }
        others = [value for name, value in way.items() if name != source]
        own, furthest = way[source], max(others)
        self._seen["grasped"] = found["is_src_obj_grasped"]
        self._seen["grasped_5_steps"] = found["consecutive_grasp"]
        self._seen["moved_correct"] |= own > MOVED and own > furthest
        self._seen["moved_wrong"] |= furthest > MOVED and furthest > own

    def _state(self) -> np.ndarray:
        pose = self._arm.ee_pose_at_base
        turn = Rotation.from_quat(pose.q[0].numpy(), scalar_first=True).as_rotvec()
        fingers = float(self._simulation.agent.robot.get_qpos()[0, -2:].mean())
        opening = (fingers - FINGERS_SHUT) / (FINGERS_OPEN - FINGERS_SHUT)
        return np.concatenate([pose.p[0].numpy(), turn, [opening]]).astype(np.float32)

    def _draw(self) -> np.ndarray:
        simulation = self._simulation
        simulation.scene.update_render(update_sensors=True, update_human_render_cameras=False)
        camera = simulation.scene.sensors[BRIDGE_CAMERA]
        camera.capture()
        pictures = camera.get_obs(rgb=True, depth=False, position=False, segmentation=True)
        drawn, segments = (pictures[name][0].cpu().numpy() for name in ("rgb", "segmentation"))
        return composite(drawn, segments[..., 0], self._keep, self._photo)


def _corners_of(body: Any) -> np.ndarray:
    """Corners [N, 3] of a `PhysxRigidBaseComponent`'s convex collision shapes, its own frame, metres."""
    corners = [
        _at(np.asarray(shape.vertices) * np.asarray(shape.scale), shape.local_pose)
        for shape in body.collision_shapes
    ]
    return np.concatenate(corners)


def _at(corners: np.ndarray, pose: Any) -> np.ndarray:
    """Corners [N, 3] of a body at a pose."""
    return corners @ matrix_of(pose)[:3, :3].T + np.asarray(pose.p, np.float64)


def published_layouts(simulation: Any) -> list[BridgeLayout]:
    """The layouts of a ManiSkill environment in the order of their numbers."""
    positions, turns = (np.asarray(x, float) for x in (simulation.xyz_configs, simulation.quat_configs))
    return [BridgeLayout(position, turn) for position in positions for turn in turns]


def draw_layout(source: str, known: list[BridgeLayout], rng: np.random.Generator) -> BridgeLayout:
    """A placement of its own, between and around the published ones.

    Args:
        source: the name of what is moved.
        known: the published layouts.
        rng: all of the randomness.
    """
    room = ROOMS[source]
    positions = np.stack([layout.positions for layout in known])  # [N, 2, 3]
    low, high = positions.min((0, 1)), positions.max((0, 1))
    middles = [(low + high) / 2] * 2 if room.gap else list(positions.mean(0))
    while True:
        like = known[int(rng.integers(len(known)))]
        drawn = like.positions.copy()
        for index in range(2):
            spread = np.array(room.spread[index])
            drawn[index, :2] = middles[index][:2] + rng.uniform(-spread, spread)
        yaws = rng.uniform(-1.0, 1.0, 2) * room.turn
        turns = np.stack([_turned(q, yaw) for q, yaw in zip(like.turns, yaws, strict=True)])
        apart = np.linalg.norm(drawn[0, :2] - drawn[1, :2])
        nearest = np.abs(positions - drawn)[..., :2].max((1, 2)).min()
        if apart >= room.gap and nearest > TOO_NEAR:
            return BridgeLayout(drawn, turns)


def _turned(quaternion: np.ndarray, yaw: float) -> np.ndarray:
    """A rotation (w, x, y, z) followed by one about the vertical."""
    turn = Rotation.from_euler("z", yaw) * Rotation.from_quat(quaternion, scalar_first=True)
    return turn.as_quat(scalar_first=True)
