"""What a fine-tuned checkpoint carries along notices every change between observation and action."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from openvla_tiny import write
from test_policies_openvla_policy import observation, seeds

from playloop.nn.manifest import write_manifest
from playloop.policies.openvla.files import read_openvla
from playloop.policies.openvla.open import open_policy
from playloop.policies.openvla.policy import write_golden

KEY = "libero_object_no_noops"
KINDS = ("openvla", "oft", "parallel", "diffusion")


@pytest.fixture(scope="module")
def bound(tmp_path_factory):
    """Of each kind a folder with a golden decision and a manifest, as training and merging write them."""
    found = {}
    for kind in KINDS:
        folder = write(tmp_path_factory.mktemp(kind) / "made", kind)
        write_golden(folder, read_openvla(folder), observation(), "libero", KEY)
        write_manifest(folder)
        found[kind] = folder
    return found


def edit(folder, change):
    path = folder / "dataset_statistics.json"
    record = json.loads(path.read_text())
    change(record[KEY])
    path.write_text(json.dumps(record))


def scale(part, field, index):
    def change(record):
        record[part][field][index] *= 1.001

    return change


def store_gripper_otherwise(record):
    for name in ("min", "q01"):
        record["action"][name][-1] = -1.0


ACTIONS = (scale("action", "q01", 0), scale("action", "q99", 5))
STATE = scale("proprio", "q99", 1)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [(kind, change, "statistics of actions or the gripper") for kind in KINDS for change in ACTIONS]
    + [(kind, STATE, "statistics of the state") for kind in KINDS if kind != "openvla"],
)
def test_altered_statistics_are_noticed_by_hash_and_by_decision(bound, tmp_path, kind, change, said):
    folder = shutil.copytree(bound[kind], tmp_path / "copy")
    edit(folder, change)
    with pytest.raises(ValueError, match=r"dataset_statistics\.json is not the file that was written"):
        open_policy(folder, verify="off")
    write_manifest(folder)
    with pytest.raises(ValueError, match=f"golden decision differs .*{said}"):
        open_policy(folder)
    with pytest.warns(UserWarning, match=said):
        open_policy(folder, verify="warn")


def test_files_that_would_be_read_are_not_added_and_the_manifest_stays(bound, tmp_path):
    folder = shutil.copytree(bound["diffusion"], tmp_path / "copy")
    (folder / "README.md").write_text("how it was made")
    open_policy(folder, verify="off")
    (folder / "added_tokens.json").write_text("{}")
    with pytest.raises(ValueError, match=r"added_tokens\.json was added"):
        open_policy(folder, verify="off")
    (folder / "added_tokens.json").unlink()
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json missing"):
        open_policy(folder, verify="off")


def test_a_gripper_from_minus_1_is_asked_for_and_turned_as_stated(bound, tmp_path):
    folder = shutil.copytree(bound["parallel"], tmp_path / "copy")
    for name in ("golden.npz", "manifest.json"):
        (folder / name).unlink()
    before = open_policy(folder, dtype=torch.float32)
    edit(folder, store_gripper_otherwise)
    with pytest.raises(ValueError, match=r"goes from -1 to 1: give gripper=opening .* or gripper=closing"):
        open_policy(folder)
    with pytest.raises(ValueError, match="use one of unit, opening, closing"):
        open_policy(folder, gripper="shut")
    with pytest.raises(ValueError, match="give gripper=opening"):
        open_policy(folder, gripper="unit")
    values = torch.tensor([[[0.0] * 6 + [value]] for value in (-1.0, -0.2, 0.2, 0.7, 1.0)]).double()
    found = {
        name: open_policy(folder, dtype=torch.float32, gripper=name).tokenizer.commands(values)[:, 0, -1]
        for name in ("opening", "closing")
    }
    # robosuite: +1 closes, -1 opens
    assert found["opening"].tolist() == [1, 1, -1, -1, -1]
    assert found["closing"].tolist() == [-1, -1, 1, 1, 1]
    assert before.tokenizer.commands(values)[:, 0, -1].tolist() == [1, 1, 1, -1, -1]
    said = open_policy(folder, gripper="closing").describe()["gripper"]
    assert said.endswith("stored as -1 open, 1 shut")
    write_golden(folder, read_openvla(folder), observation(), "libero", KEY, "closing")
    write_manifest(folder)
    open_policy(folder, gripper="closing")


@pytest.mark.parametrize("ends", [(0.0, 0.08), (0.0, 255.0), (-0.3, 0.3)])
def test_a_gripper_of_another_range_is_refused(bound, tmp_path, ends):
    folder = shutil.copytree(bound["openvla"], tmp_path / "copy")

    def change(record):
        for name, value in zip(("min", "max"), ends, strict=True):
            record["action"][name][-1] = value

    edit(folder, change)
    with pytest.raises(ValueError, match="and it is stored as 0 … 1 or -1 … 1 where a policy is known"):
        open_policy(folder, verify="off")


def test_a_gripper_as_published_needs_no_word(bound):
    with pytest.raises(ValueError, match="goes from 0 to 1: leave gripper out"):
        open_policy(bound["openvla"], verify="off", gripper="closing")
    chunks = open_policy(bound["openvla"])([None], [observation()], seeds(0))[1]
    assert set(np.unique(chunks[..., -1])) <= {-1.0, 1.0}
