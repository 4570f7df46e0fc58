"""The Fractal suite of SimplerEnv behind the one contract."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from playloop.core.episode import Episode
from playloop.core.robots import FRACTAL_CAMERA, FRACTAL_SIZE, FRACTAL_STATE
from playloop.envs.arm import axis_angle
from playloop.envs.outcome import Outcome
from playloop.envs.simpler import assets
from playloop.envs.simpler.env import SimplerEnv, Terms, composite
from playloop.envs.simpler.fractal import looks, protocol
from playloop.envs.simpler.fractal.controller import SUBSTEPS, Controller
from playloop.envs.simpler.fractal.robot import CAMERA_LINK
from playloop.envs.simpler.fractal.scene import Kitchen
from playloop.envs.simpler.fractal.tasks import TASKS
from playloop.envs.simpler.vulkan import choose_driver, render_device

HEIGHT, WIDTH = FRACTAL_SIZE
FOCAL, CENTRE = 425.0, (320.0, 256.0)
FORWARD = (0.5, 0.5, -0.5, 0.5)
"""From the camera link's axes (x right, y down) to SAPIEN's (x forward, z up)."""


class FractalEnv(SimplerEnv):
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
        super().__init__(terms, 0.1, render_mode)
        self._kitchen: Kitchen | None = None
        self._camera: Camera | None = None
        self._shown: np.ndarray | None = None

    def begin(self, episode: Episode) -> None:
        if episode.suite != self.terms.suite:
            raise ValueError(f"the environment plays {self.terms.suite}, not {episode.suite}; set env.suite")
        setup = protocol.setup(episode)
        looks.require_files(setup.look, setup.layout)
        choose_driver()
        self.close()
        self._setup, self._shown = setup, None
        self._start(setup.task)
        self._task = TASKS[setup.task](setup, episode.rng("scatter"))
        kitchen = Kitchen(setup.look, self._task.contact_offset, render_device())
        self._kitchen = kitchen
        self._task.furnish(kitchen)
        kitchen.robot.reset(setup.layout.base, setup.layout.yaw)
        self._task.begin()
        self._controller = Controller(kitchen.robot)

    def advance(self, action: np.ndarray) -> Outcome:
        kitchen = self._begun()
        self._controller.command(np.asarray(action, np.float64))
        for step in range(1, SUBSTEPS + 1):
            self._controller.substep(step)
            kitchen.scene.step()
        self._steps, self._shown = self._steps + 1, None
        holds, info = self._task.judge(self._steps)
        return self._outcome(holds, {"rule_holds": holds, **info})

    def observe(self, images: bool = True) -> dict[str, Any]:
        shown = self.snapshot() if self._shown is None else self._shown
        observation: dict[str, Any] = {
            "state": shown[1 : 1 + len(FRACTAL_STATE)].astype(np.float32),
            "instruction": protocol.instruction(self._setup, int(shown[0])),
        }
        if images:
            observation["images"] = {FRACTAL_CAMERA: self._look(shown)}
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
        self._begun().check_state(snapshot[1 + len(FRACTAL_STATE) :])
        self._shown = np.asarray(snapshot, np.float64).copy()

    def close(self) -> None:
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
            photo = looks.file_of("photograph", self._setup.layout.photo) if look.photo else None
            self._camera = Camera(self._begun().twin(), photo, look.traced and self.terms.traced)
        self._camera.kitchen.set_state(shown[1 + len(FRACTAL_STATE) :])
        return self._camera.draw()


class Camera:
    """The head's camera.

    Args:
        kitchen: what it sees.
        photo: file of the photograph, none for the simulated surroundings.
        traced: trace rays (32 a pixel, 8 deep, denoised) instead of rasterising.
    """

    def __init__(self, kitchen: Kitchen, photo: Path | None, traced: bool) -> None:
        import sapien

        _shade(traced, kitchen.device)
        mount = kitchen.robot.links[CAMERA_LINK].entity
        pose = sapien.Pose(q=FORWARD)
        self.eye = kitchen.scene.add_mounted_camera(
            FRACTAL_CAMERA, mount, pose, WIDTH, HEIGHT, 1.0, 0.1, 10.0
        )
        self.eye.set_focal_lengths(FOCAL, FOCAL)
        self.eye.set_principal_point(*CENTRE)
        self.kitchen, self.photo = kitchen, photo

    def draw(self) -> np.ndarray:
        """What the camera sees now, uint8 [512, 640, 3]."""
        self.kitchen.scene.update_render()
        self.eye.take_picture()
        colour = np.asarray(self.eye.get_picture("Color"))[..., :3]
        if self.photo is not None:
            actor = np.asarray(self.eye.get_picture("Segmentation"))[..., 1]
            colour = composite(colour, actor, self._simulated(), photograph(self.photo))
        return (np.clip(colour, 0.0, 1.0) * 255).astype(np.uint8)

    def _simulated(self) -> list[int]:
        """Numbers of what stays in front of the photograph: robot, objects, cabinet."""
        kept: list[Any] = [link.entity for link in self.kitchen.robot.body.links]
        kept += self.kitchen.objects.values()
        if self.kitchen.cabinet is not None:
            kept += [link.entity for link in self.kitchen.cabinet.links]
        return [entity.per_scene_id for entity in kept]


@cache
def photograph(path: Path) -> np.ndarray:
    """A photograph in the camera's size, float32 [512, 640, 3] from 0 to 1."""
    with Image.open(path) as image:
        return resize(np.asarray(image.convert("RGB")).astype(np.float32) / 255)


def resize(image: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Bilinear, pixels taken at their middles, borders repeated: [h, w, 3] → [height, width, 3]."""
    for axis, size in enumerate((height, width)):
        length = image.shape[axis]
        middle = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.minimum(middle.astype(int), max(length - 2, 0))
        share = np.expand_dims(
            (middle - low).astype(np.float32), [other for other in range(3) if other != axis]
        )
        high = np.minimum(low + 1, length - 1)
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image


def _shade(traced: bool, device: str) -> None:
    """SAPIEN's shader and formats are global and hold for the cameras that are made next.

    Denoising needs a GPU.
    """
    from sapien import render

    for name in ("Color", "ColorRaw"):  # ManiSkill leaves eight bits behind
        render.set_picture_format(name, "r32g32b32a32sfloat")
    render.set_camera_shader_dir("rt" if traced else "default")
    if traced:
        render.set_ray_tracing_samples_per_pixel(32)
        render.set_ray_tracing_path_depth(8)
        render.set_ray_tracing_denoiser("optix" if device == "cuda" else "none")
