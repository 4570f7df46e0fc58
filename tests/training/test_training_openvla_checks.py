"""What does not fit together is one sentence before pictures are prepared and weights are read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from openvla_demos import disturb, settings, task_of, write_base, write_demos
from safetensors.torch import load_file, save_file

from playloop.cli.main import main
from playloop.configs.compose import load
from playloop.training import run
from playloop.training.openvla import task as openvla
from playloop.training.openvla.checks import checkpoint_identity, sampled_hash
from playloop.training.openvla.images import TrainingImages
from playloop.training.openvla.model import AdapterConfig
from playloop.training.openvla.objectives import ObjectiveConfig

FROZEN = AdapterConfig(rank=4, heads=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Data, and checkpoints of every kind; all but "stateless" and "openvla" read the state."""
    folder = tmp_path_factory.mktemp("checks")
    write_demos(folder / "data")
    write_base(folder / "base")
    write_base(folder / "block", attention="block")
    write_base(folder / "stateless", proprio=None)
    write_base(folder / "long", chunk=8)
    for kind in ("openvla", "oft", "parallel"):
        write_base(folder / kind, kind)
    return folder


@pytest.fixture
def unread(monkeypatch) -> None:
    """Nothing large may be read or made."""

    def refuse(*arguments, **named):
        raise AssertionError("pictures or weights are read before the settings are checked")

    for name in ("prepared_frames", "load_student", "read_openvla"):
        monkeypatch.setattr(openvla, name, refuse)


@pytest.mark.parametrize(
    ("base", "name", "changes", "sentence"),
    [
        ("base", "diffusion", {"adapter": AdapterConfig(targets=[])}, "adapter.targets is empty"),
        ("base", "diffusion", {"adapter": AdapterConfig(targets=["head"])}, "'head' is no part"),
        ("base", "l1", {"adapter": FROZEN}, "objective=l1 makes new layers.*adapter.heads=true"),
        ("stateless", "diffusion", {"adapter": FROZEN, "state": True}, "state=true makes new.*heads=true"),
        ("stateless", "distill", {"state": True}, "state=true makes new layers.*name a teacher"),
        ("openvla", "distill", {"state": False}, "follows a diffusion model.*decodes by autoregressive"),
        ("oft", "distill", {}, "follows a diffusion model.*oft decodes by l1"),
        ("parallel", "distill", {}, "follows a diffusion model.*decodes by parallel"),
        ("block", "distill", {}, "set objective.teacher_attention=block instead of full"),
        ("base", "distill", {"teacher": "openvla"}, "openvla decodes by autoregressive"),
        ("base", "distill", {"teacher": "oft"}, "oft decodes by l1"),
        ("base", "distill", {"teacher": "parallel"}, "parallel decodes by parallel"),
        ("base", "distill", {"teacher": "block"}, "set objective.teacher_attention=block instead of full"),
        ("base", "distill", {"teacher": "stateless"}, "the teacher has proprio=None, the student 8"),
        ("base", "distill", {"teacher": "long"}, "the teacher has chunk=8, the student 4"),
        ("base", "distill", {"images": 1}, "the teacher has images=2, the student 1"),
        (
            "base",
            "diffusion",
            {"key": "bridge_x"},
            "key=bridge_x: names of libero's data sets begin with libero",
        ),
        ("base", "diffusion", {"film": "maybe"}, "film='maybe': use true or false or null"),
        ("base", "diffusion", {"state": "yes please"}, "state='yes please': use"),
        ("base", "diffusion", {"images": 0}, "images=0: use a number of at least 1"),
    ],
)
def test_it_is_told_before_anything_large_is_read(home, unread, base, name, changes, sentence):
    if "teacher" in changes:
        changes = changes | {"teacher": str(home / changes["teacher"])}
    with pytest.raises(ValueError, match=sentence):
        task_of(home, name, openvla=str(home / base), **changes)


def test_a_missing_adapter_is_told_before_anything_large_is_read(home, unread, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no LoRA adapter"):
        task_of(home, adapter=AdapterConfig(start=str(tmp_path / "nothing")))


def test_an_adapter_is_not_put_beside_weights_that_hold_it(home, tmp_path):
    task = task_of(home)
    disturb(task.model)
    names = dict(task.model.named_parameters())
    task.save(tmp_path / "out", {n: v.detach() for n, v in names.items() if v.requires_grad}, {})
    inside = AdapterConfig(start=str(tmp_path / "out/lora_adapter"))
    with pytest.raises(ValueError, match=r"holds the adapter .* already: leave adapter\.start out"):
        task_of(home, openvla=str(tmp_path / "out"), adapter=inside)
    shutil.move(tmp_path / "out/lora_adapter", tmp_path / "adapter")
    start = AdapterConfig(start=str(tmp_path / "adapter"))
    with pytest.raises(ValueError, match=r"trained beside another checkpoint: language_model\.lm_head"):
        task_of(home, openvla=str(tmp_path / "out"), adapter=start)
    on = task_of(home, adapter=start).model.model.head
    assert torch.equal(on.lora_b[0], names["model.head.lora_b.0"])


def test_a_block_causal_teacher_can_be_followed(home):
    objective = ObjectiveConfig("distill", "block", teacher_attention="block")
    task = settings(home, objective=objective, openvla=str(home / "block")).make()
    assert task.student.attention == "block"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"area": 2.0}, "area=2.0: use a number of at most 1"),
        ({"area": 0.0}, "area=0.0: use a number above 0"),
        ({"hue": -0.1}, "hue=-0.1: use a number of at least 0"),
        ({"contrast": [0.8]}, r"contrast=\[0.8\]: use a list of at least 2"),
        ({"saturation": (1.2, 0.8)}, "saturation=.*: give two factors"),
    ],
)
def test_changes_to_pictures_are_checked(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        TrainingImages(**changes)


def test_attentions_are_checked():
    for name in ("attention", "teacher_attention"):
        with pytest.raises(ValueError, match=f"{name}='w/oft': choose from full, block"):
            ObjectiveConfig("distill", **{name: "w/oft"})


def test_sizes_of_adapters_are_checked():
    for name in ("rank", "alpha"):
        with pytest.raises(ValueError, match=f"AdapterConfig.{name}=0: use a number"):
            AdapterConfig(**{name: 0})


# -- the command line ------------------------------------------------------------------------------------


def test_short_settings_are_those_that_are_documented():
    words = ["images=1", "teacher=w/oft", "contrast=[0.9,1.1]", "teacher_attention=block"]
    config = load("train_openvla", words)
    task, objective = config.training.task, config.objective
    assert (task.images, task.teacher) == (1, "w/oft")
    assert (objective.changes.contrast, objective.teacher_attention) == ([0.9, 1.1], "block")


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("film=maybe", "film='maybe': use true or false or null"),
        ("contrast=[0.8]", "objective.changes.contrast=[0.8]: use a list of at least 2"),
        ("adapter.alpha=0", "alpha=0: use a number above 0 or null"),
    ],
)
def test_a_command_line_gets_one_sentence(home, tmp_path, capsys, word, sentence):
    words = [f"openvla={home / 'base'}", f"data={home / 'data'}", f"out={tmp_path / 'out'}", "device=cpu"]
    assert main(["train", *words, word]) == 2
    said = capsys.readouterr().err
    assert said.startswith("playloop train: ") and sentence in said and said.count("\n") == 1


def test_a_loss_that_is_no_number_is_one_sentence(home, tmp_path, capsys, monkeypatch):
    def train(config):
        raise FloatingPointError("The loss at step 4 is nan: begin anew.")

    monkeypatch.setattr(run, "train", train)
    words = [f"openvla={home / 'base'}", f"data={home / 'data'}", f"out={tmp_path / 'out'}", "device=cpu"]
    assert main(["train", *words]) == 2
    assert capsys.readouterr().err == "playloop train: The loss at step 4 is nan: begin anew.\n"


# -- what tells checkpoints apart --------------------------------------------------------------------------


def test_a_run_does_not_go_on_beside_other_weights_of_the_same_name(home, tmp_path):
    shutil.copytree(home / "base", tmp_path / "base")
    changes = {"openvla": str(tmp_path / "base")}
    before = task_of(home, **changes).describe()
    assert before == task_of(home, **changes).describe()
    assert before["openvla"] == task_of(home).describe()["openvla"]
    for path in (tmp_path / "base").glob("*.safetensors"):
        tensors = load_file(path)
        for name in tensors:
            tensors[name] += "embed_tokens" not in name  # which adapters leave as it is
        save_file(tensors, path, metadata={"format": "pt"})
    assert task_of(home, **changes).describe() != before
    teacher = {"teacher": str(tmp_path / "base")}
    one, two = (task_of(home, "distill", "block", **more).describe() for more in (teacher, {}))
    assert one["teacher"] == checkpoint_identity(tmp_path / "base") and two["teacher"] is None
    assert checkpoint_identity(tmp_path / "base")["golden"] is None
    (tmp_path / "base/golden.npz").write_bytes(b"decided")
    assert checkpoint_identity(tmp_path / "base")["golden"] is not None


def test_a_large_file_is_told_by_pieces(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8)
    (tmp_path / "one").write_bytes(values.tobytes())
    values[1_000_000:2_000_000] += 1  # a third of the layers
    (tmp_path / "two").write_bytes(values.tobytes())
    assert sampled_hash(tmp_path / "one") != sampled_hash(tmp_path / "two")
    with (tmp_path / "sparse").open("wb") as file:
        os.truncate(file.fileno(), 2**36)
    sampled_hash(tmp_path / "sparse")  # 64 GB, of which some are read
