"""The Fractal suite of SimplerEnv behind the one contract."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from playloop.core.episode import Episode
from playloop.core.robots.google_robot import CAMERA, STATE_NAMES
from playloop.envs.arm import axis_angle
from playloop.envs.base import PlayEnv
from playloop.envs.outcome import Outcome
from playloop.envs.simpler import assets
from playloop.envs.simpler.fractal import looks, protocol
from playloop.envs.simpler.fractal.camera import Camera
from playloop.envs.simpler.fractal.controller import SUBSTEPS, Controller
from playloop.envs.simpler.fractal.scene import Kitchen
from playloop.envs.simpler.fractal.tasks import TASKS
from playloop.envs.simpler.rules import Terms
from playloop.envs.simpler.vulkan import choose_driver, render_device

SHADINGS = ("auto", "fast", "traced")
REACH, TURN = 0.1, np.pi / 2
"""Bounds of the action space, metres and radians a step: what is sensible, nothing is clipped to them."""


class FractalEnv(PlayEnv):
    """The Google robot of SimplerEnv, rebuilt on SAPIEN 3 from the published parameters.

    Every episode gets a new scene: with shapes and textures in memory that takes 20 ms, and nothing of an
    earlier episode can reach a later one.

    Example:
        >>> env = SimplerConfig("fractal").make()                                    # doctest: +SKIP
        >>> observation, info = env.reset(seed=0)                           # doctest: +SKIP
        >>> observation["images"]["overhead_camera"].shape                  # doctest: +SKIP
        (512, 640, 3)
    """

    def __init__(self, terms: Terms, render_mode: str | None = None) -> None:
        assets.require("fractal")
        bound = np.array([REACH] * 3 + [TURN] * 3 + [1.0], np.float32)
        space = gym.spaces.Box(-bound, bound, dtype=np.float32)
        super().__init__(terms.contract, max(terms.limits), render_mode, space)
        self.terms = terms
        self._kitchen: Kitchen | None = None
        self._camera: Camera | None = None
        self._shown: np.ndarray | None = None
        self._steps = self._held = 0

    def episodes(self) -> list[Episode]:
        return self.terms.episodes()

    def begin(self, episode: Episode) -> None:
        if episode.suite != self.terms.suite:
            raise ValueError(f"the environment plays {self.terms.suite}, not {episode.suite}; set env.suite")
        setup = protocol.setup(episode)
        looks.require_files(setup.look, setup.layout)
        choose_driver()
        self.close()
        self._setup, self._steps, self._held, self._shown = setup, 0, 0, None
        self.horizon = self.terms.limits[setup.task]
        self._task = TASKS[setup.task](setup, episode.rng("scatter"))
        kitchen = Kitchen(setup.look, self._task.contact_offset, render_device())
        self._kitchen = kitchen
        self._task.furnish(kitchen)
        kitchen.robot.reset(setup.layout.base, setup.layout.yaw)
        self._task.begin()
        self._controller = Controller(kitchen.robot)

    def advance(self, action: np.ndarray) -> Outcome:
        action = np.asarray(action, np.float64)
        kitchen = self._begun()
        self._controller.command(action)
        for step in range(1, SUBSTEPS + 1):
            self._controller.substep(step)
            kitchen.scene.step()
        self._steps, self._shown = self._steps + 1, None
        holds, info = self._task.judge(self._steps)
        last = self._steps >= self.horizon
        self._held = self._held + 1 if holds else 0
        success = self.terms.rule.succeeded(self._held, last)
        return Outcome(
            reward=float(success),
            success=success,
            terminated=success,
            truncated=last and not success,
            info={"rule_holds": holds, **info},
        )

    def observe(self, images: bool = True) -> dict[str, Any]:
        shown = self.snapshot() if self._shown is None else self._shown
        observation: dict[str, Any] = {
            "state": shown[1 : 1 + len(STATE_NAMES)].astype(np.float32),
            "instruction": protocol.instruction(self._setup, int(shown[0])),
        }
        if images:
            observation["images"] = {CAMERA: self._look(shown)}
        return observation

    def privileged(self) -> dict[str, np.ndarray]:
        """World frame, metres, quaternions (w, x, y, z).

        "eef" [7] and "object/NAME" [7] are poses, "fingers" [2] joint positions (0 open, 1.3 shut), "base"
        [3] the robot's foot and "base_yaw" [1] its angle, "box/NAME" [2, 3] the corners around an object.
        Tasks that move something have "pick" and "place" [2, 3]; drawers "handle", "edge" (the middle of the
        front's upper edge) and "handle_axis" (the direction of opening) [3] and "drawer" [1], the opening in
        metres.
        """
        return {**self._begun().truth(), **self._task.truth()}

    def snapshot(self) -> np.ndarray:
        """Number of actions, `state`, then positions and velocities of everything that moves; float64."""
        robot = self._begun().robot
        hand = robot.hand()
        seen = [[self._steps], hand.p, axis_angle(hand.q), [robot.opening()]]
        return np.concatenate([*seen, self._begun().state()])

    def restore(self, snapshot: np.ndarray) -> None:
        """Show a snapshot of the episode that has begun; the episode itself stays where it is."""
        self._begun().check_state(snapshot[1 + len(STATE_NAMES) :])
        self._shown = np.asarray(snapshot, np.float64).copy()

    def close(self) -> None:
        """Free the scenes."""
        if self._camera is not None:
            self._camera.kitchen.close()
        if self._kitchen is not None:
            self._kitchen.close()
        self._kitchen = self._camera = None

    def _begun(self) -> Kitchen:
        if self._kitchen is None:
            raise RuntimeError("no episode has begun; call begin or reset first")
        return self._kitchen

    def _look(self, shown: np.ndarray) -> np.ndarray:
        """Draw a snapshot in a second scene, made when somebody looks for the first time.

        Joint positions give link poses that differ in the last bit from simulated ones, so that only a scene
        which is always posed by snapshots draws the same picture now and after `restore`.
        """
        if self._camera is None:
            look = self._setup.look
            photo = looks.photo_file(self._setup.layout) if look.photo else None
            self._camera = Camera(self._begun().twin(), photo, look.traced and self.terms.traced)
        self._camera.kitchen.set_state(shown[1 + len(STATE_NAMES) :])
        return self._camera.draw()
