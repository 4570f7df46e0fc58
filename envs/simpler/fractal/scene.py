"""The simulated kitchen of one episode: robot, surroundings, objects, cabinet, lights.

Numbers: ManiSkill2_real2sim, `envs/sapien_env.py` and `envs/custom_scenes`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from playloop.envs.simpler.env import parts_of, pose_vector
from playloop.envs.simpler.fractal import looks
from playloop.envs.simpler.fractal.controller import SIMULATION_HZ, TIMESTEP
from playloop.envs.simpler.fractal.layouts import Placed
from playloop.envs.simpler.fractal.robot import HAND, Robot

OFFSET = (1.6616, 3.0337, 0.0)
"""Where the stages' origin lies, metres."""
UPRIGHT = (0.707, 0.707, 0.0, 0.0)
"""The stages' y axis points up."""
MOVED = {
    "modern_bedroom_no_roof": ((0.178, -2.235, 1.669), (0.007, 0.0, 0.0, -1.0)),
    "modern_office_no_roof": ((-0.192, -1.728, 1.48), (0.709, 0.0, 0.0, -0.705)),
}
"""Stages that are moved further: position and quaternion."""
CABINET = (-0.295, 0.0, 0.017)
DROP = 0.87 + 0.5
"""Height from which objects fall onto the table, metres."""
FRICTION = 0.5
HINGE = 0.05
"""Friction of the drawers' rails."""
DENSITIES = {"baked_apple_v2": 200.0, "apple": 200.0, "orange": 200.0}
"""kg/m³ of the toy fruit of "move near", less than in the list of models."""
SPEED, SPIN = 1e-3, 1e-2
"""An object that is faster than this (m/s, rad/s) after a second is given more time to come to rest."""
RIGID = 13
"""Numbers of a rigid body: position, quaternion, velocity, spin."""

Light = tuple[tuple[float, float, float], float, bool]
_ABOVE, _LEFT, _RIGHT = (0.0, 0.0, -1.0), (-1.0, -0.5, -1.0), (1.0, 1.0, -1.0)
_SIDES: tuple[Light, ...] = (((-1.0, 1.0, -0.05), 0.5, False), ((-1.0, -1.0, -0.05), 0.5, False))
_SLANT = float(np.deg2rad(75))
LIGHTS: dict[str, tuple[float, tuple[Light, ...]]] = {
    "table": (0.3, ((_ABOVE, 2.2, False), (_LEFT, 0.7, False), (_RIGHT, 0.7, False))),
    "table brighter": (0.3, ((_ABOVE, 3.6, False), (_LEFT, 1.3, False), (_RIGHT, 1.3, False))),
    "table darker": (0.3, ((_RIGHT, 0.8, False), (_ABOVE, 0.8, False))),
    "simple": (1.0, (((-float(np.cos(_SLANT)), 0.0, -float(np.sin(_SLANT))), 1.0, False),)),
    "room": (0.3, (((-0.2, 0.0, -1.0), 1.0, True), *_SIDES)),
    "room brighter": (0.3, (((-0.2, 0.0, -1.0), 2.0, True), *_SIDES)),
    "room darker": (0.3, (((-0.2, 0.0, -1.0), 0.5, True), *_SIDES)),
}
"""Name → ambient light, and direction, strength and shadow of each distant light."""


class Kitchen:
    """One SAPIEN scene; built anew for every episode, so that nothing of the last one is left.

    Args:
        look: appearance.
        contact_offset: metres of free space in which the engine already makes contacts.
        device: SAPIEN's name of the device that draws.
    """

    def __init__(self, look: looks.Look, contact_offset: float, device: str) -> None:
        import sapien

        self.look, self.contact_offset, self.device = look, contact_offset, device
        self.placed: list[tuple[Placed, float | None]] = []
        _configure(contact_offset)
        self.scene: Any = sapien.Scene([sapien.physx.PhysxCpuSystem(), _renderer(device)])
        self.scene.set_timestep(TIMESTEP)
        self.robot = Robot(self.scene, looks.file_of("robot", look.recolour), look.glossy)
        self.objects: dict[str, Any] = {}
        self.bodies: dict[str, Any] = {}
        self.cabinet: Any = None
        self._stage(solid=not look.station)
        self._light()

    def add_object(self, placed: Placed, density: float | None = None) -> None:
        """Hang an object above the table; `density` in kg/m³ overrides the list of models."""
        import sapien

        self.placed.append((placed, density))
        model = self.look.model(placed.name)
        folder = looks.file_of("model", model)
        builder = self.scene.create_actor_builder()
        builder.add_multiple_convex_collisions_from_file(
            str(folder / "collision.obj"),
            material=sapien.physx.PhysxMaterial(FRICTION, FRICTION, 0.0),
            density=model_facts()[model].get("density", 1000.0) if density is None else density,
        )
        shapes = [folder / f"textured.{suffix}" for suffix in ("obj", "dae", "glb")]
        builder.add_visual_from_file(str(next(path for path in shapes if path.is_file())))
        turn = Rotation.from_euler("xyz", placed.angles).as_quat(scalar_first=True)
        builder.set_initial_pose(sapien.Pose([*placed.xy, DROP], turn))
        entity = builder.build(name=placed.name)
        body = entity.find_component_by_type(sapien.physx.PhysxRigidDynamicComponent)
        body.set_linear_damping(0.1)
        body.set_angular_damping(0.1)
        self.objects[placed.name], self.bodies[placed.name] = entity, body
        _finish(entity, self.look.matte)

    def add_cabinet(self) -> None:
        """The cabinet with its three drawers, shut."""
        import sapien

        loader = self.scene.create_urdf_loader()
        loader.fix_root_link = True
        self.cabinet = loader.load(str(looks.file_of("cabinet", self.look.station)))
        self.cabinet.set_pose(sapien.Pose(CABINET))
        for joint in self.cabinet.active_joints:
            joint.set_friction(HINGE)
            joint.set_drive_properties(0.0, 1.0)

    def twin(self) -> Kitchen:
        """Another kitchen with the same things in it, to be posed and drawn without touching this one."""
        other = Kitchen(self.look, self.contact_offset, self.device)
        for placed, density in self.placed:
            other.add_object(placed, density)
        if self.cabinet is not None:
            other.add_cabinet()
        other.robot.reset(*self.robot.stand)
        return other

    def steps(self, seconds: float) -> None:
        for _ in range(int(SIMULATION_HZ * seconds)):
            self.scene.step()

    def settle(self, names: list[str]) -> None:
        """Let objects fall without tipping over, then free them; the robot is out of the way meanwhile."""
        import sapien

        self.robot.body.set_pose(sapien.Pose([-10.0, 0.0, 0.0]))
        for name in names:
            self.lock(name, [False, False, False, True, True, False])
        self.steps(0.5)
        for name in names:
            self.release(name)
        self.steps(0.5)
        if self.restless(names):
            self.steps(1.5)

    def lock(self, name: str, axes: list[bool]) -> None:
        """Forbid an object to move along or about some of x, y, z, rx, ry, rz."""
        self.bodies[name].set_locked_motion_axes(axes)

    def release(self, name: str) -> None:
        """Let an object move again, from rest and awake."""
        self.lock(name, [False] * 6)
        self.objects[name].set_pose(self.objects[name].pose)
        self.bodies[name].set_linear_velocity(np.zeros(3))
        self.bodies[name].set_angular_velocity(np.zeros(3))

    def restless(self, names: list[str]) -> bool:
        """Whether some of the objects still move."""
        speed = sum(float(np.linalg.norm(self.bodies[name].linear_velocity)) for name in names)
        spin = sum(float(np.linalg.norm(self.bodies[name].angular_velocity)) for name in names)
        return speed > SPEED or spin > SPIN

    def position(self, name: str) -> np.ndarray:
        """An object's position, float64 [3]."""
        return np.asarray(self.objects[name].pose.p, np.float64)

    def centre(self, name: str) -> np.ndarray:
        """An object's centre of mass, float64 [3]."""
        pose = self.objects[name].pose * self.bodies[name].cmass_local_pose
        return np.asarray(pose.p, np.float64)

    def box(self, name: str) -> np.ndarray:
        """Lower and upper corner around an object's collision shapes, float64 [2, 3]."""
        return np.asarray(self.bodies[name].compute_global_aabb_tight(), np.float64)

    def truth(self) -> dict[str, np.ndarray]:
        """What every task knows of poses and boxes; see `FractalEnv.privileged`."""
        robot = self.robot
        found = {
            "eef": pose_vector(robot.links[HAND].entity.pose),
            "fingers": robot.positions()[robot.fingers],
            "base": np.asarray(robot.body.pose.p, np.float64),
            "base_yaw": np.array([robot.stand[1] + np.pi]),
        }
        for name, entity in self.objects.items():
            found[f"object/{name}"] = pose_vector(entity.pose)
            found[f"box/{name}"] = self.box(name)
        return found

    def state(self) -> np.ndarray:
        """Joint positions and velocities of robot and cabinet, then the state of every object, float64."""
        parts: list[Any] = [part for body in self._jointed() for part in (body.get_qpos(), body.get_qvel())]
        for name, entity in self.objects.items():
            body = self.bodies[name]
            parts += [entity.pose.p, entity.pose.q, body.linear_velocity, body.angular_velocity]
        return np.concatenate(parts).astype(np.float64)

    def set_state(self, state: np.ndarray) -> None:
        """The inverse of `state`, also for the state of a twin."""
        import sapien

        self.check_state(state)
        start = 0
        for body in self._jointed():
            middle, end = start + body.dof, start + 2 * body.dof
            body.set_qpos(state[start:middle])
            body.set_qvel(state[middle:end])
            start = end
        for name, entity in self.objects.items():
            values, start = state[start : start + RIGID], start + RIGID
            entity.set_pose(sapien.Pose(values[:3], values[3:7]))
            self.bodies[name].set_linear_velocity(values[7:10])
            self.bodies[name].set_angular_velocity(values[10:])

    def check_state(self, state: np.ndarray) -> None:
        """Refuse the state of a kitchen with other things in it.

        Raises:
            ValueError: the state has another length.
        """
        wanted = sum(2 * body.dof for body in self._jointed()) + RIGID * len(self.objects)
        if state.shape != (wanted,):
            raise ValueError(f"a snapshot of another scene: {state.shape} numbers, not {wanted}")

    def close(self) -> None:
        self.scene.clear()

    def _jointed(self) -> list[Any]:
        return [self.robot.body] + ([self.cabinet] if self.cabinet is not None else [])

    def _stage(self, solid: bool) -> None:
        import sapien

        builder = self.scene.create_actor_builder()
        if self.look.stage:
            pose = sapien.Pose(q=UPRIGHT)
            if self.look.stage in MOVED:
                pose = sapien.Pose(*MOVED[self.look.stage]) * pose
            path = str(looks.file_of("stage", self.look.stage))
            if solid:
                builder.add_nonconvex_collision_from_file(path, pose)
            builder.add_visual_from_file(path, pose)
        else:
            builder.add_box_visual(half_size=[10.0, 10.0, 0.017], material=[1.0, 1.0, 1.0])
        builder.set_initial_pose(sapien.Pose(OFFSET))
        builder.build_static(name="arena")

    def _light(self) -> None:
        ambient, lights = LIGHTS[self.look.light]
        self.scene.set_ambient_light([ambient] * 3)
        for direction, strength, shadow in lights:
            self.scene.add_directional_light(
                direction, [strength] * 3, shadow=shadow, shadow_scale=5.0, shadow_map_size=2048
            )


@cache
def model_facts() -> dict[str, dict[str, Any]]:
    """What the lists of models say about each: its density (kg/m³) and box (metres)."""
    folder = looks.file_of("model", "").parent
    found: dict[str, dict[str, Any]] = {}
    for name in ("info_pick_custom_v0.json", "info_pick_custom_baked_tex_v1.json"):
        found |= json.loads((folder / name).read_text())
    return found


def _configure(contact_offset: float) -> None:
    """The engine's settings are global and hold for what is built next.

    Upstream's PhysX 4 has one velocity iteration. In PhysX 5 that makes pressed fingers report speeds which
    they do not have (-2 rad/s while they stand still), so that the next plan would begin by opening them.
    """
    from sapien import physx

    physx.set_default_material(1.0, 1.0, 0.0)
    physx.set_shape_config(contact_offset=contact_offset)
    physx.set_body_config(solver_position_iterations=25, solver_velocity_iterations=0)
    physx.set_scene_config(enable_pcm=False, enable_tgs=True)


def _finish(entity: Any, matte: bool) -> None:
    """Let textures that hold their light shine: SAPIEN 2 took no notice of the factor 0 in their files."""
    for material in (part.material for part in parts_of(entity)):
        if material.emission_texture is not None:
            material.emission = [1.0, 1.0, 1.0, 1.0]
        if matte:
            material.roughness, material.metallic, material.specular = 1.0, 0.0, 0.0


def _renderer(device: str) -> Any:
    """A new renderer. The first one stays for good: with the last one go the shaders, five seconds' work."""
    import sapien

    if device not in _KEPT:
        _KEPT[device] = sapien.render.RenderSystem(device)
    return sapien.render.RenderSystem(device)


_KEPT: dict[str, Any] = {}
