"""Pictures are changed as TensorFlow defines it: against colorsys, loops and the evaluator's own crop."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from policy_demos import write_demos

from playloop.demos.lerobot.dataset import Demonstrations
from playloop.policies.openvla.images import EvaluationImages, centre_crop
from playloop.training.openvla.images import TrainingImages, centred, crop, prepared_frames, to_hsv, to_rgb


def pictures(count: int = 2, side: int = 12) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, side, side, 3), np.uint8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_hsv_is_that_of_the_standard_library():
    colours = torch.cat([pictures(1).flatten(0, 2), torch.tensor([[0, 0, 0], [9, 9, 9], [255, 0, 0]])]) / 255
    found = torch.stack(to_hsv(colours.T[None, :, :, None]))[:, 0, :, 0].T
    wanted = np.array([colorsys.rgb_to_hsv(*map(float, colour)) for colour in colours.double()])
    assert np.abs(found.numpy() - wanted).max() < 1e-5
    turned = np.array([colorsys.hsv_to_rgb(*row) for row in wanted])
    channels = torch.from_numpy(wanted.T)[:, None, :, None].unbind(0)
    assert np.abs(to_rgb(*channels)[0, :, :, 0].T.numpy() - turned).max() < 1e-9


def test_a_crop_is_crop_and_resize():
    """Row i of the result lies at y1 (S − 1) + i (y2 − y1) of the source, between its two neighbours."""
    x, side = pictures(1, 9).permute(0, 3, 1, 2).double() / 255, 0.81**0.5
    found = crop(x, 0.81, torch.tensor([0.25], dtype=torch.double), torch.tensor([1.0], dtype=torch.double))
    top, left = 0.25 * (1 - side) * 8, (1 - side) * 8
    for i in range(9):
        for j in range(9):
            y, z = top + i * side, left + j * side
            a, b = min(int(y), 7), min(int(z), 7)
            u, v = y - a, z - b
            corner = x[0, :, a : a + 2, b : b + 2]
            wanted = (1 - u) * ((1 - v) * corner[:, 0, 0] + v * corner[:, 0, 1])
            wanted += u * ((1 - v) * corner[:, 1, 0] + v * corner[:, 1, 1])
            assert torch.allclose(found[0, :, i, j], wanted, atol=1e-9)


def test_the_middle_is_the_evaluators_crop():
    shown = pictures(3, 28)
    found = (centred(shown, 0.9) * 255).round().byte().permute(0, 2, 3, 1)
    wanted = torch.from_numpy(np.stack([centre_crop(image, 0.9) for image in shown.numpy()]))
    assert (found.int() - wanted.int()).abs().max() <= 1 and (found == wanted).float().mean() > 0.999


def test_all_changes_in_their_order():
    """The same draws by hand, a pixel at a time."""
    shown, config = pictures(1, 6), TrainingImages(area=1.0)
    found = config(shown, seeded(4))[0].permute(1, 2, 0).double().numpy()
    draws = torch.rand(6, 1, 1, 1, 1, generator=seeded(4)).flatten().double().numpy()
    x = shown[0].double().numpy() / 255
    x = np.clip(x + 0.2 * (2 * draws[2] - 1), 0, 1)
    mean = x.mean((0, 1))
    x = np.clip(mean + (x - mean) * (0.8 + 0.4 * draws[3]), 0, 1)
    for row in x.reshape(-1, 3):
        hue, saturation, value = colorsys.rgb_to_hsv(*row)
        saturation = min(1.0, saturation * (0.8 + 0.4 * draws[4]))
        row[:] = colorsys.hsv_to_rgb((hue + 0.05 * (2 * draws[5] - 1)) % 1, saturation, value)
    wanted = np.minimum(np.floor(x * 255.5), 255) / 255
    assert np.abs(found - wanted).max() <= 1.01 / 255 and (np.abs(found - wanted) < 1e-6).mean() > 0.98
    assert np.abs(found - shown[0].double().numpy() / 255).max() > 0.05


def test_changes_are_functions_of_the_generator_and_differ_between_pictures():
    shown = pictures(1, 16).expand(3, -1, -1, -1)
    one, two = TrainingImages()(shown, seeded(1)), TrainingImages()(shown, seeded(1))
    assert torch.equal(one, two) and one.shape == (3, 3, 16, 16)
    assert not torch.equal(one[0], one[1]) and not torch.equal(one, TrainingImages()(shown, seeded(2)))
    plain = TrainingImages(1.0, 0.0, (1.0, 1.0), (1.0, 1.0), 0.0)(shown, seeded(1))
    assert ((plain - shown.permute(0, 3, 1, 2) / 255).abs() < 0.6 / 255).all()


def test_frames_are_prepared_once_as_in_evaluation(tmp_path):
    write_demos(tmp_path / "data", episodes=2, rows=3)
    dataset, name = Demonstrations(tmp_path / "data"), "observation.images.wrist"
    images = EvaluationImages(size=28)
    found = prepared_frames(dataset, name, images, 1, None)
    for row in (0, 4):
        wanted = EvaluationImages(size=28, crop=None).pixels(dataset.frame(name, row))
        assert np.array_equal(found[row], wanted)
    (path,) = (tmp_path / "data/cache").glob("*.npy*")
    stamp = path.stat().st_mtime_ns
    again = prepared_frames(dataset, name, EvaluationImages(size=28, crop=0.5), 1, None)
    assert np.array_equal(again, found) and path.stat().st_mtime_ns == stamp
    with pytest.raises(KeyError, match=r"no camera 'top'"):
        prepared_frames(dataset, "top", images, 1, None)
