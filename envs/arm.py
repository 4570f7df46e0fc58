"""Robot arms simulated by robosuite: what LIBERO and robosuite's own tasks share."""

from __future__ import annotations

import gc
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.envs.gl import Renderer, choose_backend
from playloop.envs.outcome import Outcome
from playloop.envs.upstream import load_robosuite

WRITABLE_MODEL_FIELDS = ("body_pos", "body_quat", "geom_rgba", "site_rgba")
"""Fields of the MuJoCo *model* that resets and state changes write to; a flattened state lacks them."""
ROBOT_PREFIXES = ("robot0_", "gripper0_", "mount0_")
"""How names of bodies begin that belong to the robot."""


def axis_angle(quaternion: np.ndarray) -> np.ndarray:
    """Unit quaternion (w, x, y, z) → axis times angle [3], radians, without picking one of q and -q.

    robosuite and all published LIBERO policies take the sign as the simulator gives it; "repairing" it costs
    tens of points of success.
    """
    w = float(np.clip(quaternion[0], -1.0, 1.0))
    sine = np.sqrt(1.0 - w * w)
    if sine < 1e-8:
        return np.zeros(3)
    return np.asarray(quaternion[1:]) * (2.0 * np.arccos(w) / sine)


class ArmEnv(PlayEnv):
    """A robosuite simulation behind the one contract.

    Three departures from robosuite's own `step` and `reset`, none of which changes a state:
    nothing is rendered until somebody observes; no observables are evaluated; and an episode of the task that
    is already loaded restores the model instead of rebuilding it (0.1 s instead of 4 s).

    Observations are those of robosuite 1.4, whose sensors sample a few milliseconds before a control step
    ends (`sensed_substep`): what an agent sees is the scene at that moment.
    """

    sensed_substep = 24
    """Sensors show the state after this many of a step's 25 substeps, and the fingers one substep later.

    robosuite's sampling timers start 2 ms late for every forced reading at a reset: one on a plain reset
    (24), two when a stored state is loaded after it (23). Measured against robosuite 1.4.0.
    """

    def __init__(self, contract: Contract, horizon: int, render_mode: str | None = None) -> None:
        choose_backend()
        super().__init__(contract, horizon, render_mode)
        self._simulation: Any = None
        self._loaded: tuple | None = None
        self._renderer: Renderer | None = None
        self._canvas: Any = None
        self._sensed: np.ndarray
        self._sensed_state: np.ndarray
        self._steps = 0

    # -- what a family provides ------------------------------------------------------------------------

    @abstractmethod
    def _load(self, episode: Episode) -> Any:
        """Construct the robosuite environment of the episode's task, without a renderer."""

    @abstractmethod
    def _instruction(self, episode: Episode) -> str:
        """What the agent is to do."""

    def _after_reset(self, episode: Episode) -> None:
        """Bring the freshly reset simulation into the episode's initial state."""

    def _succeeded(self) -> bool:
        return bool(self._simulation._check_success())

    # -- the contract ----------------------------------------------------------------------------------

    def begin(self, episode: Episode) -> None:
        if self._loaded != (episode.suite, episode.task):
            self._rebuild(episode)
        for name, values in self._simulation.pristine.items():
            getattr(self._simulation.sim.model, name)[:] = values
        # robosuite and LIBERO draw placements from NumPy's global generator: always seed it from the identity
        np.random.seed(episode.derive("reset"))
        self._reset_simulation()
        self._after_reset(episode)
        self._text = self._instruction(episode)
        self._steps = 0

    def advance(self, action: np.ndarray) -> Outcome:
        self._substeps(np.asarray(action, np.float64))
        self._steps += 1
        success = self._succeeded()
        return Outcome(float(success), success, success, not success and self._steps >= self.horizon)

    def observe(self, images: bool = True) -> dict[str, Any]:
        observation: dict[str, Any] = {"state": self._sensed_state.copy(), "instruction": self._text}
        if images:
            assert self._renderer is not None  # made when the episode began
            self._show(self._sensed)
            observation["images"] = {
                # the published convention: what OpenGL reads, bottom row first, rotated by 180 degrees
                name: np.ascontiguousarray(self._renderer.draw(self._canvas, name, *size)[::-1, ::-1])
                for name, size in self.contract.cameras.items()
            }
        return observation

    def privileged(self) -> dict[str, np.ndarray]:
        """World frame, metres, quaternions (w, x, y, z).

        "eef" [7] and "object/NAME" [7] are poses, "fingers" [2] joint positions, "base" [3] the arm's foot,
        "box/NAME" [2, 3] the lower and upper corner around an object's collision shapes; "pick" and "place"
        [2, 3] are the boxes of the task's first and last object of interest, "obstacles" [K, 2, 3] those of
        every other collision shape.
        """
        data = self._simulation.sim.data
        truth = {"eef": np.concatenate(self._eef(data)), "fingers": data.qpos[self._finger_index].copy()}
        truth["base"] = np.asarray(self._simulation.robots[0].base_pos, np.float64).copy()
        boxes = self._shapes.boxes(data)
        for name, body in self._objects().items():
            truth[f"object/{name}"] = np.concatenate([data.body_xpos[body], data.body_xquat[body]])
            truth[f"box/{name}"] = self._shapes.around(boxes, body)
        goals = self.goal_objects
        if goals and f"box/{goals[0]}" in truth and f"box/{goals[-1]}" in truth:
            truth["pick"], truth["place"] = truth[f"box/{goals[0]}"], truth[f"box/{goals[-1]}"]
            truth["obstacles"] = boxes[~self._shapes.belongs(self._objects()[goals[0]])]
        return truth

    @property
    def goal_objects(self) -> list[str]:
        """Names of the objects that the task is about: what is moved first, where it goes last."""
        return []

    def snapshot(self) -> np.ndarray:
        """What `observe` shows now: state, time, positions and velocities, float64 [S + 1 + nq + nv]."""
        return np.concatenate([self._sensed_state, self._sensed])

    def restore(self, snapshot: np.ndarray) -> None:
        """Show a snapshot of the episode that has begun: for drawing and observing.

        The episode itself stays where it is: `privileged` and `advance` do not mind.
        """
        wanted = (self._sensed_state.size + self._sensed.size,)
        if np.shape(snapshot) != wanted:
            raise ValueError(f"a snapshot of another scene: {np.shape(snapshot)} numbers, not {wanted}")
        state, sensed = np.split(np.asarray(snapshot, np.float64), [self._sensed_state.size])
        self._sensed_state, self._sensed = state.astype(np.float32), sensed

    def close(self) -> None:
        """Free the renderer and the simulation; the GL context goes last, when the process ends."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self._simulation = self._loaded = None

    # -- resetting -------------------------------------------------------------------------------------

    def _rebuild(self, episode: Episode) -> None:
        import mujoco

        if self._renderer is not None:
            self._renderer.close()
        # a scene is two gigabytes, and robosuite's objects hold each other: free the old one before the new
        self._simulation = self._renderer = self._canvas = self._loaded = None
        gc.collect()
        # construction draws too (sizes of robosuite's objects) and serves all episodes of the task: were it
        # seeded by the one that comes first, an episode would depend on what ran before it
        np.random.seed(replace(episode, init=0, seed=0).derive("construct"))
        self._simulation = self._load(episode)
        self._simulation.hard_reset = False
        self._simulation._observables.clear()
        self._simulation.sim.reset = partial(_reset_as_rebuilt, self._simulation.sim)
        model = self._simulation.sim.model
        self._canvas = mujoco.MjData(model._model)
        self._shapes = CollisionShapes(model._model)
        self._renderer = Renderer(model._model)
        robot = self._simulation.robots[0]
        self._finger_index = list(robot._ref_gripper_joint_pos_indexes)
        self._eef_site, self._eef_body = robot.eef_site_id, model.body_name2id(robot.robot_model.eef_name)
        self._loaded = (episode.suite, episode.task)

    def _reset_simulation(self) -> None:
        from robosuite.utils.errors import RandomizationError

        gripper = self._simulation.robots[0].gripper
        for _ in range(100):
            # a rebuilt gripper starts with its command at zero; a restored one would keep the last episode's
            gripper.current_action = np.zeros(gripper.actuators.__len__())
            try:
                self._simulation.reset()
            except RandomizationError:  # no free position was found: LIBERO's own wrapper draws again
                continue
            self._sense()
            return
        raise RuntimeError("no placement without collisions was found in 100 draws; try another seed")

    def _set_state(self, flattened: np.ndarray) -> None:
        """Put a stored initial state (time, positions, velocities) into the simulation."""
        sim = self._simulation.sim
        wanted = 1 + sim.model.nq + sim.model.nv
        if flattened.shape != (wanted,):
            raise ValueError(
                f"the initial state has {flattened.shape} numbers, the scene {wanted}: assets and code differ"
            )
        sim.set_state_from_flattened(flattened)
        sim.forward()
        self._simulation._check_success()
        if hasattr(self._simulation, "_post_process"):
            self._simulation._post_process()
        self._sense()

    # -- stepping and sensing --------------------------------------------------------------------------

    def _substeps(self, action: np.ndarray) -> None:
        """One control step of robosuite: 25 substeps of 2 ms under the operational space controller."""
        simulation = self._simulation
        for index in range(round(simulation.control_timestep / simulation.model_timestep)):
            # the controller calls forward again, but leaving this one out changes the solver's warm start
            simulation.sim.forward()
            simulation._pre_action(action, policy_step=index == 0)
            shown = self._flattened() if index == self.sensed_substep else None
            simulation.sim.step()
            if shown is not None:
                self._sense(shown)
        if hasattr(simulation, "_post_process"):
            simulation._post_process()

    def _flattened(self) -> np.ndarray:
        data = self._simulation.sim.data
        return np.concatenate([[data.time], data.qpos, data.qvel])

    def _sense(self, shown: np.ndarray | None = None) -> None:
        data = self._simulation.sim.data
        self._sensed = self._flattened() if shown is None else shown
        position, quaternion = self._eef(data)
        fingers = data.qpos[self._finger_index]
        self._sensed_state = np.concatenate([position, axis_angle(quaternion), fingers]).astype(np.float32)

    def _eef(self, data: Any) -> tuple[np.ndarray, np.ndarray]:
        return data.site_xpos[self._eef_site].copy(), data.body_xquat[self._eef_body].copy()

    def _objects(self) -> dict[str, int]:
        """Object name → body id."""
        return dict(getattr(self._simulation, "obj_body_id", {}))

    def _show(self, flattened: np.ndarray) -> None:
        """Pose the canvas, a second `MjData`, so that drawing never touches the physics."""
        import mujoco

        model, canvas = self._simulation.sim.model._model, self._canvas
        canvas.time = flattened[0]
        canvas.qpos[:] = flattened[1 : 1 + model.nq]
        canvas.qvel[:] = flattened[1 + model.nq :]
        mujoco.mj_kinematics(model, canvas)
        mujoco.mj_comPos(model, canvas)
        mujoco.mj_camlight(model, canvas)


def headless_panda() -> dict[str, Any]:
    """Settings of robosuite for a Panda under OSC_POSE at 20 Hz that draws nothing and never ends itself."""
    robosuite = load_robosuite()
    return {
        "robots": ["Panda"],
        "controller_configs": robosuite.load_controller_config(default_controller="OSC_POSE"),
        "initialization_noise": None,
        "use_camera_obs": False,
        "has_offscreen_renderer": False,
        "control_freq": 20,
        "ignore_done": True,
    }


class CollisionShapes:
    """The solid shapes of a `mujoco.MjModel` but the robot and the endless floor: an expert's obstacles."""

    def __init__(self, model: Any) -> None:
        import mujoco

        self._parents = np.array(model.body_parentid)
        names = [
            mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, body) or "" for body in range(model.nbody)
        ]
        solid = (model.geom_contype > 0) | (model.geom_conaffinity > 0)
        plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        robot = np.array([names[body].startswith(ROBOT_PREFIXES) for body in model.geom_bodyid])
        self._geoms = np.flatnonzero(solid & ~plane & ~robot)  # [K]
        self._bodies = np.array(model.geom_bodyid)[self._geoms]
        self._centres = model.geom_aabb[self._geoms, :3].copy()  # [K, 3], in the shape's own frame
        self._halves = model.geom_aabb[self._geoms, 3:].copy()
        self._members: dict[int, np.ndarray] = {}

    def boxes(self, data: Any) -> np.ndarray:
        """World boxes of all shapes now: [K, 2, 3], lower and upper corner, metres."""
        rotations = data.geom_xmat[self._geoms].reshape(-1, 3, 3)
        middle = data.geom_xpos[self._geoms] + np.einsum("kij,kj->ki", rotations, self._centres)
        reach = np.einsum("kij,kj->ki", np.abs(rotations), self._halves)
        return np.stack([middle - reach, middle + reach], 1)

    def belongs(self, body: int) -> np.ndarray:
        """Which shapes hang on a body or its descendants: bool [K]."""
        if body not in self._members:
            family = {body}
            for child in range(body + 1, len(self._parents)):  # MuJoCo numbers parents before their children
                if self._parents[child] in family:
                    family.add(child)
            self._members[body] = np.isin(self._bodies, sorted(family))
        return self._members[body]

    def around(self, boxes: np.ndarray, body: int) -> np.ndarray:
        """The box [2, 3] around one body's shapes; not a number where it has none."""
        own = boxes[self.belongs(body)]
        if not len(own):
            return np.full((2, 3), np.nan)
        return np.stack([own[:, 0].min(0), own[:, 1].max(0)])


class RememberModel:
    """Mixin for a robosuite environment: keeps the compiled values of model fields that resets overwrite."""

    pristine: dict[str, np.ndarray]

    def _initialize_sim(self, xml_string: str | None = None) -> None:
        super()._initialize_sim(xml_string)  # type: ignore[misc]
        model = self.sim.model  # type: ignore[attr-defined]
        self.pristine = {name: np.array(getattr(model, name)) for name in WRITABLE_MODEL_FIELDS}


def remembering(environment: type) -> type:
    """A robosuite environment class with `RememberModel` under the same name (LIBERO compares names)."""
    if issubclass(environment, RememberModel):  # robosuite registered it in place of its own
        return environment
    metaclass: Any = type(environment)
    return metaclass(environment.__name__, (RememberModel, environment), {})


def _reset_as_rebuilt(sim: Any) -> None:
    """Reset the data and warm the solver as a rebuilt simulation with a renderer would: two forward passes.

    With them a restored episode equals one of upstream's, which rebuilds everything, to the last bit. (With
    one correction of upstream: LIBERO lengthens a list of joint initializers at every rebuild and never
    empties it, so that scenes with a cabinet depend there on how many resets came before.)
    """
    type(sim).reset(sim)
    sim.forward()
    sim.forward()
