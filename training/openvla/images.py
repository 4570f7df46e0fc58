"""Pictures as OpenVLA is trained on them: prepared once as in evaluation, then changed at random.

The changes are those of OpenVLA's fine-tuning (openvla/openvla and dlimp), with TensorFlow's definitions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.core.annotations import Fraction, Magnitude, Portion
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.demos.arrays import in_processes, made_once, open_filled
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.pictures import Pictures
from playloop.policies.openvla.images import CROP_AREA, EvaluationImages


@kind("training-images")
@checked
class TrainingImages:
    """Random changes to a picture, in this order; each picture has its own.

    Args:
        area: that a square crop at a random position keeps; it is resized to the whole again.
        brightness: largest offset, of a range of 1.
        contrast: factors of the distance from each channel's mean, from … to.
        saturation: factors of it, from … to.
        hue: largest turn, 1 is the whole circle.
    """

    area: Portion = CROP_AREA
    brightness: Fraction = 0.2
    contrast: tuple[Magnitude, Magnitude] = (0.8, 1.2)
    saturation: tuple[Magnitude, Magnitude] = (0.8, 1.2)
    hue: Fraction = 0.05

    def __post_init__(self) -> None:
        for name in ("contrast", "saturation"):
            limits = getattr(self, name)
            if limits[0] > limits[1]:
                raise ValueError(f"objective.changes.{name}={limits}: give two factors, 0 ≤ from ≤ to")

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 [N, S, S, 3] → [N, 3, S, S], 0 … 1 in steps of 1 / 255; `generator` is on their device."""
        draws = torch.rand(6, len(pictures), 1, 1, 1, generator=generator, device=pictures.device)
        x = pictures.permute(0, 3, 1, 2).float() / 255
        x = crop(x, self.area, draws[0].flatten(), draws[1].flatten())
        x = (x + self.brightness * (2 * draws[2] - 1)).clamp(0, 1)
        mean = x.mean((-2, -1), keepdim=True)
        x = (mean + (x - mean) * _between(self.contrast, draws[3])).clamp(0, 1)
        hue, saturation, value = to_hsv(x)
        saturation = (saturation * _between(self.saturation, draws[4, :, :, 0])).clamp(0, 1)
        hue = hue + self.hue * (2 * draws[5, :, :, 0] - 1)
        return quantised(to_rgb(hue % 1, saturation, value))


def _between(limits: Sequence[float], draw: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * draw


def centred(pictures: Tensor, area: float) -> Tensor:
    """The middle of pictures, as in evaluation: uint8 [N, S, S, 3] → [N, 3, S, S] from 0 to 1."""
    middle = torch.full((len(pictures),), 0.5, device=pictures.device)
    return quantised(crop(pictures.permute(0, 3, 1, 2).float() / 255, area, middle, middle))


def crop(x: Tensor, area: float, down: Tensor, right: Tensor) -> Tensor:
    """A square of that share of the area, resized bilinearly to the whole: [N, C, S, S] → [N, C, S, S].

    Corners stay corners, as in `crop_and_resize`; `down` and `right`, [N], are its position from 0 to 1.
    """
    side = area**0.5
    theta = x.new_zeros(len(x), 2, 3)  # from −1 … 1 of the result to −1 … 1 of the source
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, 0, 2], theta[:, 1, 2] = (1 - side) * (2 * right - 1), (1 - side) * (2 * down - 1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=True)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=True)


def quantised(x: Tensor) -> Tensor:
    """To 255 steps as TensorFlow stores pictures: times 255.5, cut off."""
    return (x.clamp(0, 1) * 255.5).floor().clamp(max=255) / 255


def to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """RGB [N, 3, H, W] → hue, saturation and value from 0 to 1, [N, H, W] each."""
    value, spread = x.amax(1), x.amax(1) - x.amin(1)
    red, green, blue = x.unbind(1)
    safe = spread.clamp_min(1e-12)
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return (sector / 6) % 1 * (spread > 0), spread / value.clamp_min(1e-12), value


def to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of `to_hsv`: [N, 3, H, W]."""
    sectors = torch.tensor([5.0, 3.0, 1.0], device=hue.device)[:, None, None]  # red, green, blue
    away = (sectors + 6 * hue[:, None]) % 6
    share = torch.minimum(away, 4 - away).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * share)


def prepared_frames(
    dataset: Demonstrations, camera: str, images: EvaluationImages, processes: int, folder: str | None
) -> np.ndarray:
    """A camera's pictures of all rows after the steps that are the same every time, uint8 [N, S, S, 3].

    Made once and kept in the folder, the data set's `cache` if none is given; memory-mapped. The crop of the
    steps of evaluation is left out.

    Raises:
        KeyError: the data set has no such camera.
        OSError: as `made_once`.
    """
    if camera not in dataset.cameras:
        raise KeyError(f"{dataset.root} has no camera {camera!r}; it has {dataset.cameras}.")
    images = replace(images, crop=None)
    steps = hashlib.sha256(images.describe().encode()).hexdigest()[:8]
    path = Path(folder or dataset.root / "cache") / f"{camera}-openvla-{steps}-{dataset.identity}.npy"

    def fill(target: Path) -> None:
        starts = enumerate(dataset.starts[:-1].tolist())
        jobs = [(dataset.pictures(camera, episode), images, start, target) for episode, start in starts]
        in_processes(_prepare_episode, jobs, processes)

    return made_once(path, (dataset.length, images.size, images.size, 3), np.uint8, fill)


Job = tuple[Pictures, EvaluationImages, int, Path]


def _prepare_episode(job: Job) -> None:
    pictures, images, start, target = job
    array = open_filled(target)
    for row, image in enumerate(pictures):
        array[start + row] = images.pixels(image)
