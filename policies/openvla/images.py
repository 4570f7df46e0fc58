"""A camera's picture as OpenVLA's evaluators show it to the network: TensorFlow's bits without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.annotations import Portion
from playloop.core.checked import checked
from playloop.nn.folder import read_record
from playloop.policies.openvla.jpeg import jpeg_round_trip
from playloop.policies.resize import lanczos

SIZE = 224
CROP_AREA = 0.9
"""Part of the area that training's random crops kept; evaluation takes the middle of it."""
PREPROCESSOR = "preprocessor_config.json"

Moments = tuple[tuple[float, float, float], ...]

MEANS: Moments = ((0.484375, 0.455078125, 0.40625), (0.5, 0.5, 0.5))
STDS: Moments = ((0.228515625, 0.2236328125, 0.224609375), (0.5, 0.5, 0.5))
"""The deviations of DINOv2 (ImageNet's, rounded to bfloat16 in the published preprocessor) and of SigLIP."""


@checked(frozen=True)
class EvaluationImages:
    """uint8 [H, W, 3] → float32 [6, size, size]: DINOv2's three channels, then SigLIP's.

    The steps in their order; the published evaluation of OpenVLA, OpenVLA-OFT and Discrete Diffusion VLA on
    LIBERO takes all of them.

    Args:
        rotate: turn by 180 degrees. Only robosuite's own pictures need it: our environment has done it.
        jpeg: through TensorFlow's JPEG encoder and decoder, as the data sets were; sides are multiples of 16.
        size: of the network's pictures, to which the whole picture is resized if it has another.
        crop: area that the centre crop keeps, resized bilinearly to the same size; None crops nothing.
        means: of both normalisations.
        stds: likewise.
    """

    rotate: bool = False
    jpeg: bool = True
    size: int = SIZE
    crop: Portion | None = CROP_AREA
    means: Moments = MEANS
    stds: Moments = STDS

    def __post_init__(self) -> None:
        if np.shape(self.means) != (2, 3) or np.shape(self.stds) != (2, 3) or not np.all(self.stds):
            raise ValueError("means and stds must be two triples each, no std 0: DINOv2's and SigLIP's")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The network's input."""
        pixels = self.pixels(image).astype(np.float32).transpose(2, 0, 1) / np.float32(255)
        mean, std = (np.array(values, np.float32)[:, :, None, None] for values in (self.means, self.stds))
        return ((pixels - mean) / std).reshape(6, self.size, self.size)

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """The same before normalisation, for people to look at: uint8 [size, size, 3]."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {image.shape}")
        image = np.ascontiguousarray(image[::-1, ::-1]) if self.rotate else image
        image = jpeg_round_trip(image) if self.jpeg else image
        image = lanczos(image, (self.size, self.size))
        return image if self.crop is None else centre_crop(image, self.crop)

    def describe(self, given: tuple[int, int] | None = None) -> str:
        """The steps in words, for reports and results; without resizing if pictures come in that size."""
        steps = [
            "rotated by 180 degrees" if self.rotate else "",
            "JPEG quality 95 with TensorFlow's fast decoder" if self.jpeg else "",
            f"Lanczos3 with antialiasing to {self.size}" if given != (self.size, self.size) else "",
            f"centre crop of {self.crop} of the area" if self.crop is not None else "",
            f"means {_listed(self.means)}, stds {_listed(self.stds)}",
        ]
        return "; ".join(step for step in steps if step)

    def changed(self, changes: Mapping[str, Any]) -> EvaluationImages:
        """With other values of some fields; an unknown one is an error that names the known ones."""
        known = self.__dataclass_fields__
        if unknown := changes.keys() - known:
            raise ValueError(f"images.{min(unknown)} is no step; there are {', '.join(known)}")
        return replace(self, **changes)

    def with_moments_of(self, folder: str | Path) -> EvaluationImages:
        """Normalised as a checkpoint's `preprocessor_config.json` says; the published moments without one.

        Raises:
            ValueError: the file is damaged, or for another network.
        """
        path = Path(folder) / PREPROCESSOR
        if not path.is_file():
            return self
        try:
            found = _moments(read_record(path))
            return replace(self, means=found[0], stds=found[1]) if found else self
        except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{path} does not give two normalisations of three channels ({error}); copy it again"
            ) from error


def _moments(record: dict[str, Any]) -> tuple[Moments, Moments] | None:
    """Means and stds of a published preprocessor, under either of its two names."""
    if "tvf_normalize_params" in record:
        pairs = [(entry["mean"], entry["std"]) for entry in record["tvf_normalize_params"]]
        means, stds = zip(*pairs, strict=True)
    elif "means" in record:
        means, stds = record["means"], record["stds"]
    else:
        return None
    if not all(type(v) in (int, float) for side in (means, stds) for triple in side for v in triple):
        raise ValueError("they are no numbers")
    as_moments = [tuple(tuple(float(v) for v in triple) for triple in side) for side in (means, stds)]
    if not np.isfinite(as_moments).all() or not np.all(as_moments[1]):
        raise ValueError("they are not finite, or a deviation is 0")
    return as_moments[0], as_moments[1]  # type: ignore[return-value]


def centre_crop(image: np.ndarray, area: float) -> np.ndarray:
    """The middle `area` of an image, resized to the whole as `tf.image.crop_and_resize` does, in float32.

    The way back to whole numbers is TensorFlow's `convert_image_dtype`: times 255.5, then cut off. Each side
    keeps the root of the area; uint8 [S, S, 3] → [S, S, 3].
    """
    one = np.float32(1)
    side = np.sqrt(np.float32(area))
    start = (one - side) / np.float32(2)
    last = np.float32(image.shape[0] - 1)
    step = (start + side - start) * last / last
    samples = start * last + np.arange(image.shape[0], dtype=np.float32) * step
    low, high = np.floor(samples).astype(int), np.ceil(samples).astype(int)
    share = samples - low.astype(np.float32)
    values = image.astype(np.float32) * (one / np.float32(255))
    rows = values[:, low] + (values[:, high] - values[:, low]) * share[:, None]  # [S, S, 3]
    found = rows[low] + (rows[high] - rows[low]) * share[:, None, None]
    return (np.clip(found, 0, 1) * np.float32(255.5)).astype(np.uint8)


def _listed(moments: Moments) -> str:
    return " / ".join(", ".join(f"{value:g}" for value in triple) for triple in moments)
