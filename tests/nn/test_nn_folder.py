"""A model's folder is there whole or not at all, and takes the place of nothing but its like."""

from __future__ import annotations

import json

import pytest
import torch

from playloop.core.scratch import staged
from playloop.nn.folder import check_target, read_config, save_model


def test_a_block_that_fails_leaves_the_older_folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_text("old")
    with pytest.raises(RuntimeError), staged(tmp_path / "model") as partial:
        (partial / "weights").write_text("new")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model/weights").read_text() == "old"
    with staged(tmp_path / "model") as partial:
        (partial / "weights").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model/weights").read_text() == "new"


def test_the_current_folder_can_be_the_target(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with staged(type(tmp_path)(".")) as partial:
        (partial / "weights").write_text("new")
    assert (tmp_path / "empty/weights").read_text() == "new"


def lie(folder, command=None):
    folder.mkdir()
    (folder / "diary.txt").write_text("dear diary")
    if command is not None:
        (folder / "made.json").write_text(json.dumps({"command": command}))
    return folder


def test_only_what_the_same_command_made_is_replaced(tmp_path):
    check_target(tmp_path / "new", "made.json", "convert")
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", "made.json", "convert")
    check_target(lie(tmp_path / "like", "playloop convert x.ckpt"), "made.json", "convert")
    (tmp_path / "file").write_text("")
    foreign = lie(tmp_path / "precious"), lie(tmp_path / "trained", "playloop train x"), tmp_path / "file"
    for target in foreign:
        with pytest.raises(ValueError, match="not of playloop convert; name a new folder"):
            check_target(target, "made.json", "convert")


@pytest.mark.parametrize(
    "out", ["release", ".", "release/checkpoints/../checkpoints", "release/checkpoints/x.ckpt"]
)
def test_what_is_read_is_never_replaced(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "release/checkpoints/x.ckpt"
    source.parent.mkdir(parents=True)
    source.write_text("weights")
    with pytest.raises(ValueError, match=r"x\.ckpt, which is read"):
        check_target(type(tmp_path)(out), "made.json", "convert", source)


def test_weights_that_git_lfs_has_not_fetched_are_told_as_such(tmp_path):
    folder = save_model(tmp_path / "model", {"a": torch.zeros(1)}, {"model": {"kind": "vq"}}, {})
    assert read_config(folder, "vq")["model"] == {"kind": "vq"}
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid 1\n")
    with pytest.raises(ValueError, match=r"model\.safetensors is a Git LFS pointer .*git lfs pull"):
        read_config(folder, "vq")
