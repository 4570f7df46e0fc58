"""The robot's camera, and the photograph that replaces what was not to be simulated."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.robots.google_robot import CAMERA_SIZE
from playloop.envs.simpler.fractal.robot import CAMERA
from playloop.envs.simpler.fractal.scene import Kitchen
from playloop.envs.simpler.overlay import composite, read_photograph

HEIGHT, WIDTH = CAMERA_SIZE
FOCAL, CENTRE = 425.0, (320.0, 256.0)
FORWARD = (0.5, 0.5, -0.5, 0.5)
"""From the camera link's axes (x right, y down) to SAPIEN's (x forward, z up)."""


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
        mount = kitchen.robot.links[CAMERA].entity
        pose = sapien.Pose(q=FORWARD)
        self.eye = kitchen.scene.add_mounted_camera(
            "overhead_camera", mount, pose, WIDTH, HEIGHT, 1.0, 0.1, 10.0
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
    return resize(read_photograph(path).astype(np.float32) / 255)


def resize(image: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Bilinear, pixels taken at their middles, borders repeated: [h, w, 3] → [height, width, 3]."""
    for axis, size in enumerate((height, width)):
        length = image.shape[axis]
        if length == size:
            continue
        place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.minimum(place.astype(int), max(length - 2, 0))
        shape = [1, 1, 1]
        shape[axis] = size
        share = (place - low).astype(np.float32).reshape(shape)
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
