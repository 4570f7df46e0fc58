"""Torch pickles: what is written is read, what would run is refused, and damage is one clear error."""

from __future__ import annotations

import pickle
import pickletools
import zipfile

import pytest
import torch

from playloop.nn.pickles import read_pickle


def tensors():
    noise = torch.Generator().manual_seed(0)
    whole = torch.randn(6, 4, generator=noise)
    return {
        "a": torch.randn(3, 4, generator=noise).bfloat16(),
        "b": whole,
        "view": whole[2:4],
        "none": torch.empty(0),
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_both_of_torch_s_forms_are_read(tmp_path, zipped):
    path = tmp_path / "weights.pt"
    torch.save(tensors(), path, _use_new_zipfile_serialization=zipped)
    found = read_pickle(path)
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[name], value) for name, value in tensors().items())


class Malice:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (self.target, "w")


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, form):
    path, target = tmp_path / "weights.pt", tmp_path / "ran"
    state = {"a": torch.ones(1), "b": Malice(str(target))}
    if form == "plain":
        path.write_bytes(pickle.dumps({"b": state["b"]}, protocol=2))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ValueError, match="was not run"):
        read_pickle(path)
    assert not target.exists()
    if form == "plain":  # told without running it: it names what would be called, and with what
        told = [argument for _, argument, _ in pickletools.genops(path.read_bytes())]
        assert {"io open", str(target)} <= {argument for argument in told if isinstance(argument, str)}


def test_a_part_that_is_shorter_than_its_tensor_is_refused(tmp_path):
    path, damaged = tmp_path / "weights.pt", tmp_path / "damaged.pt"
    torch.save(tensors(), path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(damaged, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            content = old.read(item.filename)
            new.writestr(item.filename, content[:-8] if item.filename.endswith("/data/0") else content)
    with pytest.raises(ValueError, match="no part of it has 24 bytes"):
        read_pickle(damaged)


@pytest.mark.parametrize("content", [b"", b"not found", "cut", "list", "number", "nested"])
def test_a_damaged_pickle_is_one_clear_error(tmp_path, content):
    path = tmp_path / "weights.pt"
    if content == "cut":
        torch.save(tensors(), path)
        path.write_bytes(path.read_bytes()[:-300])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        one = torch.ones(1)
        values = {
            "list": [one],
            "number": {"x": 1.0},
            "nested": {"x": {"y": one}},
        }
        torch.save(values[content], path)
    with pytest.raises(ValueError, match=r"damaged|tensors by name") as caught:
        read_pickle(path)
    assert str(path) in str(caught.value)
