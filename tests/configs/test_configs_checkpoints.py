"""Checkpoints by folder and by name."""

from __future__ import annotations

import pytest

from playloop.configs import checkpoints
from playloop.configs.checkpoints import find_checkpoint, fitting_policy, shipped_checkpoints
from playloop.envs.libero import LiberoConfig
from playloop.envs.toy import ToyReachConfig


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("checkpoints/object", "checkpoints/spatial", "checkpoints/unfinished"):
        (tmp_path / name).mkdir(parents=True)
        if name != "checkpoints/unfinished":
            (tmp_path / name / "config.json").write_text("{}")
    monkeypatch.setattr(checkpoints.resources, "files", lambda package: tmp_path)
    return tmp_path / "checkpoints"


def test_names_and_folders(home, tmp_path, monkeypatch):
    assert list(shipped_checkpoints()) == ["object", "spatial"]
    assert find_checkpoint("object") == home / "object"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "object").mkdir()
    assert str(find_checkpoint("object")) == "object"


def test_a_misspelt_name_is_answered_with_the_nearest(home):
    with pytest.raises(FileNotFoundError, match='did you mean "spatial"'):
        find_checkpoint("spacial")


def test_the_shipped_policy_that_fits_the_environment_is_found():
    assert fitting_policy(LiberoConfig("libero_spatial").contract()).name == "libero"
    with pytest.raises(ValueError, match=r"made for toy.*give checkpoint=DIR"):
        fitting_policy(ToyReachConfig().contract())
