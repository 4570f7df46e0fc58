"""The evaluation pipeline: TensorFlow's own bytes, and each step against another implementation of it."""

from __future__ import annotations

import hashlib
import io
import json
from importlib import resources

import numpy as np
import pytest
import torch
from PIL import Image

from playloop.policies.openvla.images import EvaluationImages, centre_crop
from playloop.policies.openvla.jpeg import jpeg_round_trip
from playloop.policies.resize import lanczos

TENSORFLOW = {
    "noise": (
        "13eda7d2c0bc98ec",
        "2d050b4e6b4dec90",
        "36069ff530ca52ba",
        "8fbae91ae3ad9e3c",
        "32b8ed2c0a6a31a9",
    ),
    "smooth": (
        "2fd370186c597863",
        "7f4972cc97cf5dc4",
        "88306229fc09ccb8",
        "1c5dc24294293971",
        "ca53c08d32e66af9",
    ),
    "scene": (
        "a96c4e543fbff0b3",
        "2b3eaeb14375d85c",
        "bba81b0c7e795321",
        "cd16a33d63aa477b",
        "23c8dcb0ef75b736",
    ),
}
"""SHA-256, first 16 digits, of a picture and of what TensorFlow 2.21 made of it on the CPU:

    decoded = tf.io.decode_image(tf.image.encode_jpeg(picture), expand_animations=False)
    resized = tf.image.resize(decoded, (224, 224), method="lanczos3", antialias=True), rounded, as uint8
    cropped = resized as float32, tf.image.crop_and_resize of the middle sqrt(0.9) to 224, clipped, as uint8
    wide = the same resizing of the picture repeated to 480 x 640, the size of SimplerEnv's camera on Bridge
"""


NOT_FINITE = json.dumps({"means": [[float("nan")] * 3] * 2, "stds": [[1.0] * 3] * 2})


def picture(name: str) -> np.ndarray:
    """uint8 [256, 256, 3]: every frequency, saturated colours and edges, or a LIBERO scene."""
    y, x = np.mgrid[:256, :256]
    if name == "noise":
        return np.random.default_rng(7).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    if name == "smooth":
        planes = [(3 * x + y) % 256, x * y // 64 % 256, 255 - (x // 2 + y // 3) % 256]
        return np.stack(planes, -1).astype(np.uint8)
    stored = resources.files("playloop.envs") / "reference/libero_object-task00-init000-seed0.npz"
    with stored.open("rb") as file, np.load(file) as archive:
        return archive["image"].repeat(2, 0).repeat(2, 1)


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", TENSORFLOW)
def test_every_step_gives_tensorflow_s_bytes(name):
    image = picture(name)
    decoded = jpeg_round_trip(image)
    resized = lanczos(decoded, (224, 224))
    wide = lanczos(np.tile(image, (2, 3, 1))[:480, :640], (224, 224))
    found = [digest(x) for x in (image, decoded, resized, centre_crop(resized, 0.9), wide)]
    assert found == list(TENSORFLOW[name])
    assert digest(EvaluationImages().pixels(image)) == TENSORFLOW[name][3]
    turned = np.ascontiguousarray(image[::-1, ::-1])
    assert digest(EvaluationImages(rotate=True).pixels(turned)) == TENSORFLOW[name][3]


def pillow(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=95, subsampling=2)
    return np.asarray(Image.open(file))


def test_jpeg_is_pillow_s_where_the_transforms_agree():
    """A block of one colour has no waves, and every inverse transform gives it back alike."""
    colours = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    blocks = colours.repeat(16, 0).repeat(16, 1)
    assert np.array_equal(jpeg_round_trip(blocks), pillow(blocks))


@pytest.mark.parametrize("name", TENSORFLOW)
def test_jpeg_stays_near_pillow_s(name):
    away = np.abs(jpeg_round_trip(picture(name)).astype(int) - pillow(picture(name)))
    assert away.max() <= 16 and 1.0 < away.mean() < 1.6


def slow_crop(image: np.ndarray, area: float) -> np.ndarray:
    """Bilinear samples at evenly spaced places from edge to edge of the middle, in float64, one by one."""
    side, last = np.sqrt(area), len(image) - 1
    found = np.zeros_like(image)
    for row in range(len(image)):
        for column in range(len(image)):
            y, x = (((1 - side) / 2 + side * place / last) * last for place in (row, column))
            top, left = int(y), int(x)
            down, across = y - top, x - left
            corners = image[top : top + 2, left : left + 2].astype(float) / 255
            value = np.einsum("i,j,ijc->c", [1 - down, down], [1 - across, across], corners)
            found[row, column] = np.trunc(np.clip(value, 0, 1) * 255.5)
    return found


def test_the_crop_follows_its_definition():
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    away = np.abs(centre_crop(image, 0.9).astype(int) - slow_crop(image, 0.9))
    assert away.max() <= 1 and (away > 0).mean() < 1e-3
    assert np.array_equal(centre_crop(image, 1.0), image)


def test_both_normalisations_are_stacked():
    image = picture("noise")
    config = EvaluationImages()
    found = config(image)
    assert found.shape == (6, 224, 224) and found.dtype == np.float32
    pixels = torch.from_numpy(config.pixels(image)).permute(2, 0, 1).float().div(255)
    for half, mean, std in zip((found[:3], found[3:]), config.means, config.stds, strict=True):
        wanted = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        assert np.array_equal(half, wanted.numpy())


def test_steps_can_be_left_out_and_say_so():
    image = picture("scene")
    plain = EvaluationImages(jpeg=False, crop=None)
    assert np.array_equal(plain.pixels(image), lanczos(image, (224, 224)))
    assert np.array_equal(plain.pixels(lanczos(image, (224, 224))), plain.pixels(image)), "a no-op at 224"
    assert "JPEG" not in plain.describe() and "JPEG" in EvaluationImages().describe()
    assert "Lanczos3" in plain.describe((256, 256)) and "Lanczos3" not in plain.describe((224, 224))
    small = EvaluationImages(size=28)
    assert small(image).shape == (6, 28, 28) and "to 28" in small.describe()


def test_moments_come_from_the_folder(tmp_path):
    assert EvaluationImages().with_moments_of(tmp_path) == EvaluationImages()
    path = tmp_path / "preprocessor_config.json"
    normalise = [{"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}, {"mean": [0.5] * 3, "std": [0.25] * 3}]
    path.write_text(json.dumps({"tvf_normalize_params": normalise}))
    found = EvaluationImages(crop=None).with_moments_of(tmp_path)
    assert found.means[0] == (0.1, 0.2, 0.3) and found.stds == ((1, 2, 3), (0.25,) * 3) and found.crop is None
    path.write_text(json.dumps({"means": [[0.1] * 3, [0.2] * 3], "stds": [[1] * 3, [2] * 3]}))
    assert EvaluationImages().with_moments_of(tmp_path).stds[1] == (2, 2, 2)
    for damaged in ('{"tvf_normalize_params": [{"mean": [0.1, 0.2, 0.3]}]}', '{"means": 3}', "{", NOT_FINITE):
        path.write_text(damaged)
        with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
            EvaluationImages().with_moments_of(tmp_path)


def test_bad_input_is_named():
    for bad in (np.zeros((32, 32, 3)), np.zeros((32, 32), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            EvaluationImages()(bad)
    with pytest.raises(ValueError, match="multiples of 16"):
        EvaluationImages()(np.zeros((250, 256, 3), np.uint8))
    with pytest.raises(ValueError, match="crop=0"):
        EvaluationImages(crop=0)
    with pytest.raises(ValueError, match="two triples"):
        EvaluationImages(means=((0.5,) * 3,))
    for name, value in (("crop", "abc"), ("rotate", "no"), ("size", 224.5), ("stds", (("a",) * 3,) * 2)):
        with pytest.raises(ValueError, match=rf"EvaluationImages\.{name}\b"):
            EvaluationImages(**{name: value})
    with pytest.raises(ValueError, match=r"images\.sharpen is no step"):
        EvaluationImages().changed({"sharpen": True})
