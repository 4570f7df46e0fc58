"""A folder of another kind: what it is, and what to type."""

from __future__ import annotations

import json

import pytest

from playloop.nn.contents import contents, kind_in
from playloop.policies.checkpoint import load
from playloop.policies.openvla.open import open_policy

OWN = {"format": 2, "model": {"kind": "vla"}}
FOLDERS = {
    "run": ({"checkpoint/config.json": OWN, "metrics.jsonl": ""}, "a training run: give {0}/checkpoint"),
    "unfinished": ({"state/x": "", "metrics.jsonl": ""}, "has written no checkpoint yet"),
    "adapter": ({"adapter_config.json": {}}, "playloop merge BASE {0} out=DIR"),
    "oft run": ({"lora_adapter/adapter_config.json": {}}, "playloop merge BASE {0} out=DIR"),
    "data": ({"meta/info.json": {}}, "playloop train data={0}"),
    "results": ({"episodes.jsonl": "", "config.json": {}}, "results of playloop eval"),
    "empty": ({}, "it is empty"),
    "world": ({"config.json": {"model": {"kind": "fsq-world"}}}, "playloop play env=world checkpoint={0}"),
    "mineworld": ({"config.json": {"model": {"kind": "mineworld"}}}, "env=mineworld checkpoint={0}"),
    "older": ({"config.json": {"model": {"_target_": "playloop.x.Y"}}}, "of an older Playloop: make it"),
    "llava": ({"config.json": {"model_type": "llava"}}, "a model of the type llava"),
    "lerobot": ({"config.json": {"type": "act", "input_features": {}}}, "a policy of LeRobot"),
}


def lay(folder, files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_another_kind_says_what_it_is(tmp_path, kind):
    files, said = FOLDERS[kind]
    folder = lay(tmp_path / "folder", files)
    for read in (load, open_policy):
        with pytest.raises((FileNotFoundError, ValueError)) as caught:
            read(folder)
        assert said.format(folder) in str(caught.value) and "copy it again" not in str(caught.value)


def test_our_policies_and_published_ones_say_what_opens_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="it is not there: check the path"):
        load(tmp_path / "nowhere")
    almost = {name: {} for name in ("contract.json", "training.json", "model.safetensors", "golden.npz")}
    world = lay(tmp_path / "world", {"config.json": {"model": {"kind": "fsq-world"}}} | almost)
    with pytest.raises(FileNotFoundError, match=r"missing; it is a world model of Playloop"):
        load(world)
    published = lay(tmp_path / "published", {"config.json": {"model_type": "openvla"}})
    with pytest.raises(FileNotFoundError, match=r"OpenVLA.s family: agent=policy agent\.checkpoint="):
        load(published)
    own = lay(tmp_path / "own", {"config.json": OWN})
    with pytest.raises(ValueError, match=r"policy of Playloop: agent=policy agent\.checkpoint="):
        open_policy(own)
    assert [kind_in(folder) for folder in (published, own, world)] == ["openvla", "vla", "fsq-world"]
    assert (
        kind_in(tmp_path / "nowhere") is None and kind_in(lay(tmp_path / "none", {"config.json": {}})) is None
    )
    assert contents(lay(tmp_path / "unknown", {"config.json": {}})) == ""
    assert contents(lay(tmp_path / "pointer", {"config.json": "version https://git-lfs"})) == ""
