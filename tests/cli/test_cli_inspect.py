"""`playloop inspect` names what a checkpoint is, and reads no weights for it."""

from __future__ import annotations

import json

import pytest

from playloop.cli.main import main
from playloop.nn.vit import ViTConfig
from playloop.policies.openvla.synthetic import write_synthetic

TOWERS = (
    ViTConfig(16, 3, 2, 24, image=28, cls=True, registers=4, layer_scale=True),
    ViTConfig(12, 3, 2, 20, image=28),
)


def inspect(capsys, path):
    assert main(["inspect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return dict(part for line in lines if len(part := line.strip().split("  ", 1)) == 2)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("openvla", "OpenVLA, tokens one after the other"),
        ("oft", "OpenVLA-OFT, actions regressed (L1)"),
        ("parallel", "OpenVLA-OFT, tokens in one pass"),
        ("diffusion", "Discrete Diffusion VLA"),
    ],
)
def test_kinds_of_openvla_are_told_apart(tmp_path, capsys, kind, name):
    folder = write_synthetic(tmp_path / kind, 0, kind, towers=TOWERS)
    found = {label: value.strip() for label, value in inspect(capsys, folder).items()}
    assert found["kind"] == name
    assert found["type"].startswith("BF16 (2,1")
    assert found["gripper"].startswith("0 shut, 1 open")
    assert found["prompt"].startswith("In: What action should the robot take to")
    assert "Lanczos3" in found["picture"]
    record = json.loads((folder / "dataset_statistics.json").read_text())
    action = record["libero_object_no_noops"]["action"]
    assert found["action q01"] == " ".join(f"{value:.4g}" for value in action["q01"])
    assert ("mask" in found) == (kind == "diffusion")
    assert ("action_head" in found) == (kind == "oft")


@pytest.mark.parametrize(
    ("kind", "state", "told"),
    [
        ("diffusion", 8, "Discrete Diffusion VLA"),
        ("diffusion", None, "Discrete Diffusion VLA"),
        ("parallel", 8, "OpenVLA-OFT, tokens in one pass"),
        ("parallel", None, "OpenVLA or OpenVLA-OFT with tokens: the files do not tell; give decoders"),
    ],
)
def test_files_that_do_not_tell_how_they_are_used_are_described_all_the_same(
    tmp_path, capsys, kind, state, told
):
    folder = write_synthetic(tmp_path / "a", 0, kind, towers=TOWERS, key="kitchen", proprio=state)
    (folder / "lora_adapter").mkdir()
    record = json.loads((folder / "config.json").read_text())
    record["playloop"] = {"towers": record["playloop"]["towers"]}
    record["mask_token_id"] = record["use_mask_token"] = record["use_discrete_diffusion"] = None
    (folder / "config.json").write_text(json.dumps(record))
    found = inspect(capsys, folder)
    assert told in found["kind"]
    assert "give images, chunk and proprio" in found["actions"]
    assert "no environment that is known" in found["conventions"]


@pytest.mark.parametrize(
    "change", [{"q01": None}, {"q99": [1, "x"]}, {"mask": ["False"] * 7}, {"q01": [float("nan")] * 7}]
)
def test_statistics_that_cannot_be_used_are_told(tmp_path, capsys, change):
    folder = write_synthetic(tmp_path / "a", 0, "oft", towers=TOWERS)
    path = folder / "dataset_statistics.json"
    record = json.loads(path.read_text())
    key = next(iter(record))
    record[key]["action"] |= change
    path.write_text(json.dumps(record | {"list": [1], "nothing": None}))
    assert main(["inspect", str(folder)]) == 0
    assert capsys.readouterr().out.count("not usable") == 3


def test_no_weight_is_read(tmp_path, capsys):
    folder = write_synthetic(tmp_path / "a", 0, "oft", towers=TOWERS)
    before = inspect(capsys, folder)
    for path in folder.glob("model-*.safetensors"):
        content = path.read_bytes()
        size = 8 + int.from_bytes(content[:8], "little")
        path.write_bytes(content[:size] + b"\xff" * (len(content) - size))  # NaN everywhere
    assert inspect(capsys, folder) == before


@pytest.mark.parametrize(
    ("name", "kind"),
    [("libero", "policy"), ("craft", "world model"), ("craft-inverse", "inverse-dynamics model")],
)
def test_shipped_checkpoints_are_described(capsys, name, kind):
    found = inspect(capsys, name)
    assert found["kind"].strip() == f"{kind} of playloop"
    assert int(found["parameters"].replace(",", "")) > 1_000_000


def test_damage_and_other_things_are_one_sentence(tmp_path, capsys):
    folder = write_synthetic(tmp_path / "a", 0, "oft", towers=TOWERS)
    shard = min(folder.glob("model-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for words, complaint in (
        ([str(folder)], "is cut off"),
        ([str(tmp_path / "text")], "no checkpoint that is known here"),
        ([str(tmp_path / "empty")], "no checkpoint that is known here"),
        (["librero"], 'did you mean "libero"'),
        ([], "give one checkpoint, not 0"),
    ):
        assert main(["inspect", *words]) == 2
        out, err = capsys.readouterr()
        assert complaint in err and not out and "Traceback" not in err


def test_an_empty_word_is_not_the_working_folder(capsys):
    assert main(["inspect", ""]) == 2
    assert "neither a checkpoint folder nor a shipped checkpoint" in capsys.readouterr().err
