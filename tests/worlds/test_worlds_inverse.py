"""An inverse-dynamics model sees the frames around a step, its angles are means, and it survives the disk."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from playloop.core.minecraft import ACTION_SIZE
from playloop.nn.manifest import write_manifest
from playloop.tokenizers.camera import VPT
from playloop.worlds.checkpoint import load_inverse, save_part
from playloop.worlds.inverse import InverseConfig, key_classes, windows

SMALL = InverseConfig(height=32, width=32, features=8, reach=2, channels=(16, 16), hidden=32)


@pytest.fixture(scope="module")
def model():
    model = SMALL.make(seed=1)
    for parameter in model.parameters():  # new weights alone would say next to nothing about an input
        parameter.data.mul_(1.5)
    return model.eval()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_windows_stay_in_their_episode():
    found = windows(replace(SMALL, before=2, after=1), np.array([0, 3, 7, 8]), np.array([0, 0, 6, 6]), 9)
    assert found.tolist() == [[0, 0, 0, 1, 2], [1, 2, 3, 4, 5], [6, 6, 7, 8, 8], [6, 7, 8, 8, 8]]


def test_the_default_is_small():
    assert sum(parameter.numel() for parameter in InverseConfig().make().parameters()) < 2e6


def test_angles_between_bins_are_told_exactly(model):
    degrees = torch.tensor([-200.0, -90.0, -3.3, -0.1, 0.0, 0.2, 1.0, 45.0, 90.0])
    target = model.around(degrees)
    assert torch.allclose(target.sum(-1), torch.ones(9)) and (target > 0).sum(-1).max() <= 2
    assert torch.allclose(target @ model.centers, degrees.clamp(-90, 90), atol=1e-4)
    on_a_bin = model.around(model.centers)
    assert torch.allclose(on_a_bin, torch.eye(len(model.centers)), atol=1e-4)


def test_a_video_is_read_step_by_step(model):
    video = noise(7, 32, 32, 3)
    actions = model.infer(video)
    assert actions.shape == (6, ACTION_SIZE) and actions.dtype == np.float32
    assert np.allclose(model.infer(video, batch=2), actions, atol=1e-5)
    frames = torch.from_numpy(video[None, [2, 3, 4, 5]])
    with torch.inference_mode():
        logits = model(frames)
    assert np.allclose(model.degrees(logits)[0].numpy(), actions[3, -2:], atol=1e-4)
    keys = np.array([part.argmax().item() for part in logits[:-2]])
    assert np.array_equal(key_classes(model.actions, actions[3:4])[0], keys)


def test_only_the_frames_around_a_step_matter(model):
    video = noise(9, 32, 32, 3)
    changed = video.copy()
    changed[4] = noise(32, 32, 3, seed=1)
    differs = (model.infer(video) != model.infer(changed)).any(-1)
    assert differs.tolist() == [False, False, True, True, True, True, False, False]  # steps 2 … 5 see frame 4


def test_frames_of_another_size_are_resized(model):
    large = noise(3, 64, 64, 3)
    small = (large.reshape(3, 32, 2, 32, 2, 3).astype(int).sum((2, 4)) + 2) // 4
    assert np.array_equal(model.infer(large), model.infer(small.astype(np.uint8)))
    assert model.infer(noise(3, 36, 64, 3)).shape == (2, ACTION_SIZE)


def test_a_model_survives_the_disk(model, tmp_path):
    config = replace(SMALL, camera=VPT)
    saved = config.make(seed=2).eval()
    save_part(tmp_path / "idm", config, saved.state_dict(), {"command": "test"})
    loaded = load_inverse(tmp_path / "idm")
    assert loaded.config == config and json.loads((tmp_path / "idm/training.json").read_text())
    video = noise(5, 32, 32, 3)
    assert np.allclose(
        loaded.infer(video)[:, -2:], saved.infer(video)[:, -2:], atol=0.02
    )  # stored in bfloat16
    half = load_inverse(tmp_path / "idm", dtype=torch.bfloat16)
    assert torch.equal(half.centers, loaded.centers)
    assert np.allclose(half.infer(video)[:, -2:], loaded.infer(video)[:, -2:], atol=0.2)
    assert not list(tmp_path.glob(".*")) and not list((tmp_path / "idm").glob("*.p*k*l*"))


def test_damaged_or_foreign_folders_are_refused(tmp_path):
    save_part(tmp_path / "idm", SMALL, SMALL.make().state_dict(), {})
    record = json.loads((tmp_path / "idm/config.json").read_text())
    for change, sentence in (
        ({"model": {"kind": "fsq-world"}}, "holds a world model, and a inverse-dynamics model is wanted"),
        ({"model": record["model"] | {"hidden": 64}}, "weights do not fit"),
        ({"model": record["model"] | {"kind": "os.system"}}, "no configuration that fits"),
        ({"weights_sha256": "0"}, "is not the file that config.json names"),
    ):
        (tmp_path / "idm/config.json").write_text(json.dumps(record | change))
        write_manifest(tmp_path / "idm")
        with pytest.raises(ValueError, match=sentence):
            load_inverse(tmp_path / "idm")
    with pytest.raises(FileNotFoundError, match="holds no inverse-dynamics model"):
        load_inverse(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"height": 40}, "into squares of 16"),
        ({"channels": ()}, r"channels=\(\): use a list of at least 1"),
        ({"after": -1}, "after=-1: use a number of at least 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(SMALL, **changes).make()


def test_one_frame_has_no_action(model):
    with pytest.raises(ValueError, match="lies between two"):
        model.infer(noise(1, 32, 32, 3))
