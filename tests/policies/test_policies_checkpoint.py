import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import CONTRACT, tiny_config, tiny_observation, tiny_statistics

from playloop.core.files import file_hash
from playloop.nn.manifest import write_manifest
from playloop.policies.checkpoint import checkpoint_hash, describe, load, save
from playloop.policies.diffusion import DecoderConfig
from playloop.tokenizers.instructions import NGramsConfig


def write(folder, seed=0, **options):
    model = tiny_config().make(tiny_statistics(), seed)
    encoder = NGramsConfig(size=24).make()
    encoder.encode(["push the plate", "pick up the milk"])
    return save(folder, model, contract=CONTRACT, encoder=encoder, training={"command": "train"}, **options)


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "checkpoint")


def edit_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["weights_sha256"] = file_hash(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    write_manifest(folder)


def edit_json(folder, name, change):
    """Alter a JSON file as if the checkpoint had been written so."""
    record = json.loads((folder / name).read_text())
    change(record)
    (folder / name).write_text(json.dumps(record))
    write_manifest(folder)


def decide(policy):
    return policy([None], [tiny_observation(0)], [torch.Generator().manual_seed(5)])[1]


def test_round_trip(folder, tmp_path):
    policy = load(folder)
    assert policy.contract == CONTRACT and policy.chunk == 8
    assert policy.model.config.cameras == tiny_config().cameras
    assert set(policy.encoder.known) == {"push the plate", "pick up the milk"}
    again = write(tmp_path / "again")
    assert np.array_equal(decide(load(again)), decide(policy))
    assert checkpoint_hash(again) == checkpoint_hash(folder)
    assert checkpoint_hash(write(tmp_path / "other", seed=1)) != checkpoint_hash(folder)


def test_saving_replaces_and_leaves_nothing_behind(folder):
    before = checkpoint_hash(folder)
    write(folder, seed=1)
    assert checkpoint_hash(folder) != before
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]


def test_golden_observation_may_be_a_real_one(tmp_path):
    observation = tiny_observation(3)
    folder = write(tmp_path / "real", observation=observation)
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        assert np.array_equal(golden["images.hand"], observation["images"]["hand"])
    load(folder)


def test_averaged_weights_are_what_is_saved(tmp_path):
    average = {n: v * 0.5 for n, v in tiny_config().make(tiny_statistics()).state_dict().items()}
    folder = write(tmp_path / "ema", state_dict=average)
    weights = load(folder).model.state_dict()
    assert all(torch.equal(weights[n], average[n].bfloat16().float()) for n in average)


def test_decoder_overrides(folder):
    assert load(folder, decoder={"rounds": 3}).decoder == replace(DecoderConfig(), rounds=3)
    with pytest.raises(ValueError, match="no decoder field"):
        load(folder, decoder={"steps": 3})


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "statistics.json", "golden.npz"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load(folder)


def test_damaged_weights_are_found_by_their_hash(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="copy it again"):
        load(folder)


@pytest.mark.parametrize("name", ["head.weight", "target.outer.bias", "cameras.front.tower.entries.0.weight"])
def test_flipped_weights_are_caught_by_the_golden_decision(folder, name):
    edit_weights(folder, lambda weights: weights[name].view(-1)[:3].neg_())
    with pytest.raises(ValueError, match="golden"):
        load(folder)
    with pytest.warns(UserWarning, match="golden"):
        load(folder, verify="warn")
    load(folder, verify="off")


def test_wrong_keys_and_shapes_are_named(folder):
    edit_weights(folder, lambda weights: weights.pop("positions"))
    with pytest.raises(ValueError, match=r"positions.*one training run"):
        load(folder)
    edit_weights(folder, lambda weights: weights.update(positions=torch.zeros(3, 3)))
    with pytest.raises(ValueError, match=r"positions: file \(3, 3\)"):
        load(folder)


@pytest.mark.parametrize(
    ("part", "field", "said"),
    [
        ("action", "q01", "statistics of actions or the gripper"),
        ("action", "q99", "statistics of actions or the gripper"),
        ("state", "q99", "statistics of the state"),
        ("state", "q01", "statistics of the state"),
    ],
)
@pytest.mark.parametrize("index", [0, 5])
def test_other_statistics_are_caught(folder, part, field, said, index):
    """Every scale, however small the change and whether the golden observation reaches it."""

    def change(record):
        record[part][field][index] += -1e-5 if field == "q01" else 1e-5

    edit_json(folder, "statistics.json", change)
    with pytest.raises(ValueError, match=f"golden.*{said}"):
        load(folder)


def test_an_altered_file_is_found_without_deciding(folder):
    record = json.loads((folder / "statistics.json").read_text())
    record["action"]["q01"] = [2 * value for value in record["action"]["q01"]]
    (folder / "statistics.json").write_text(json.dumps(record))
    for verify in ("strict", "warn", "off"):
        with pytest.raises(
            ValueError, match=r"statistics\.json is not the file that was written with the others"
        ):
            load(folder, verify=verify)


def test_a_manifest_that_is_gone_is_noticed(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json missing; copy it again"):
        load(folder)


def test_an_older_checkpoint_is_read_and_its_chunk_compared(folder):
    """Without manifest, scales and with the older name of the scores."""
    (folder / "manifest.json").unlink()
    with np.load(folder / "golden.npz", allow_pickle=False) as stored:
        golden = {name: stored[name] for name in stored.files}
    golden["logits"] = golden.pop("scores")
    golden = {name: value for name, value in golden.items() if name not in ("scale", "body", "manifest")}
    np.savez(folder / "golden.npz", allow_pickle=False, **golden)
    load(folder)
    record = json.loads((folder / "statistics.json").read_text())
    record["action"]["q01"] = [2 * value for value in record["action"]["q01"]]
    (folder / "statistics.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"of its chunk differ .* statistics, gripper or code"):
        load(folder)


def test_pictures_that_are_no_longer_shrunk_by_means_are_caught(folder, monkeypatch):
    monkeypatch.setattr("playloop.policies.vla_policy.shrink", lambda image, size: image[::2, ::2])
    with pytest.raises(ValueError, match="golden"):
        load(folder)


def test_other_settings_of_the_decoder_are_caught(folder):
    edit_json(folder, "config.json", lambda config: config["decoder"].update(rounds=1, smoothing=30.0))
    with pytest.raises(ValueError, match=r"golden.*the decoder's settings"):
        load(folder)


def test_a_mask_that_is_not_the_contracts_is_refused(folder):
    edit_json(folder, "statistics.json", lambda record: record["action"].update(mask=[True] * 7))
    with pytest.raises(ValueError, match="'gripper' is a gripper"):
        load(folder)


def test_a_gripper_from_0_to_1_is_refused(folder):
    def change(record):
        record["action"]["min"][6], record["action"]["q01"][6] = 0.0, 0.0

    edit_json(folder, "statistics.json", change)
    with pytest.raises(
        ValueError, match=r"statistics\.json.*goes from 0 to 0.99.*, and here its commands are -1 and 1"
    ):
        load(folder)


def test_a_contract_of_another_size_is_refused(folder):
    edit_json(folder, "contract.json", lambda record: record.update(state_names=["a"]))
    with pytest.raises(ValueError, match="8 states, the contract 1"):
        load(folder)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (1, "has the format 1 of an older Playloop, and this one reads 2; make it again, or use the version"),
        (3, "has the format 3, and this version of Playloop knows those up to 2; install the version that"),
        ("new", "format='new' is no format of Playloop"),
    ],
)
def test_another_format_is_one_sentence(folder, found, said):
    edit_json(folder, "config.json", lambda config: config.update(format=found))
    for read in (load, describe):
        with pytest.raises(ValueError, match=rf"config\.json.* {said}") as caught:
            read(folder)
        assert "\n" not in str(caught.value)


def test_damaged_json_is_named(folder):
    (folder / "contract.json").write_text("{")
    write_manifest(folder)
    with pytest.raises(ValueError, match=r"contract\.json is damaged"):
        load(folder)


def test_no_folder_that_a_checkpoint_names_is_followed(folder, tmp_path):
    target = {"kind": "minilm", "folder": str(tmp_path)}
    edit_json(folder, "config.json", lambda config: config.update(instructions=target))
    with pytest.raises(
        ValueError, match=r"is not followed; if you have that encoder, give agent\.instructions"
    ):
        load(folder)


def test_a_checkpoint_names_kinds_and_no_place_in_the_code(folder):
    text = (folder / "config.json").read_text()
    assert "_target_" not in text and "playloop" not in text
    named = {part: json.loads(text)[part]["kind"] for part in ("model", "decoder", "instructions")}
    assert named == {"model": "vla", "decoder": "diffusion-decoder", "instructions": "n-grams"}


WRONG = {
    "text": np.array("hello"),
    "objects of another shape": np.zeros((3, 3, 3, 3)),
    "whole numbers": np.arange(7),
    "not finite": np.full((1, 24), np.nan, np.float32),
    "nothing": np.zeros(0),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["instructions.npz", "golden.npz"])
def test_any_array_of_an_archive_that_is_another_is_one_sentence(folder, name, wrong):
    with np.load(folder / name, allow_pickle=False) as stored:
        arrays = {part: stored[part] for part in stored.files}
    for part in arrays.keys() - {"manifest"}:
        if part == "instruction" and wrong == "text":
            continue
        np.savez(folder / name, allow_pickle=False, **(arrays | {part: WRONG[wrong]}))
        write_manifest(folder)
        with pytest.raises(ValueError) as caught:
            load(folder)
        said = str(caught.value)
        assert str(folder) in said and "\n" not in said, (part, said)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(folder):
    path = folder / "instructions.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("texts.npy", "w") as file:
        for _ in range(30):
            file.write(bytes(10_000_000))
    write_manifest(folder)
    with pytest.raises(ValueError, match=r"instructions\.npz: it unpacks to 300,000,000 bytes"):
        load(folder)
