"""What only our training reads lies beside the data set: to LeRobot it is neither input nor output."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from altered_demos import DATA, EPISODES, change, reorder

from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.info import PRIVATE
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.envs.libero import LiberoConfig
from playloop.rollouts.recording.dataset import features_of, private_of

CONTRACT = LiberoConfig("libero_object").contract()
COLUMNS = ("action_chunk", "observation.target")
BESIDE = DATA.replace("data/", f"{PRIVATE}/")


def without_cameras(features):
    return {name: feature for name, feature in features.items() if feature["dtype"] != "video"}


def write(root, old=False, lengths=(3, 4), **options):
    """As `playloop record` writes it, and as it wrote it before private columns lay beside."""
    features, private = without_cameras(features_of(CONTRACT)), private_of(CONTRACT, True)
    split = (features | private, {}) if old else (features, private)
    rng, written = np.random.default_rng(0), []
    with DatasetWriter(root, 20, split[0], private=split[1], **options) as writer:
        for rows in lengths:
            columns = {
                name: rng.uniform(0, 1.9, (rows, *feature["shape"])).astype(feature["dtype"])
                for name, feature in (features | private).items()
            }
            written.append(columns)
            writer.add_episode(columns, {}, "pick it up")
        writer.finalize({"contract": CONTRACT.to_json()})
    return written


def lerobot_classifies(features):
    """LeRobot's `dataset_to_policy_features`: which columns its trainers take for inputs and outputs."""
    return {name for name in features if name.startswith(("observation", "action"))}


@pytest.mark.parametrize("old", [False, True])
def test_private_columns_return_from_where_they_lie(tmp_path, old):
    written = write(tmp_path, old, data_megabytes=0)
    assert (tmp_path / PRIVATE).exists() == (not old)
    dataset = Demonstrations(tmp_path)
    for name in COLUMNS:
        assert np.array_equal(dataset.column(name), np.concatenate([columns[name] for columns in written]))
    assert dataset.features["action_chunk"]["shape"] == [8, 7]
    assert dataset.features["observation.target"]["names"][0] == "pick_x"
    assert check_dataset(tmp_path) == []


def test_lerobot_sees_the_actions_and_the_state_alone(tmp_path):
    write(tmp_path)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert lerobot_classifies(info["features"]) == {"action", "observation.state"}
    seen = [*info["features"], *json.loads((tmp_path / "meta/stats.json").read_text())]
    for name in (DATA, EPISODES):
        seen += pq.read_schema(tmp_path / name).names
        seen += str(pq.read_schema(tmp_path / name).metadata).split('"')
    assert not [name for name in seen if any(private in name for private in COLUMNS)]


def test_private_rows_are_found_by_number_and_damage_is_told(tmp_path):
    written = write(tmp_path)
    os.remove(tmp_path / "meta/files.json")
    schema = pq.read_schema(tmp_path / BESIDE)
    table = pq.read_table(tmp_path / BESIDE).take(np.random.default_rng(1).permutation(7))
    pq.write_table(table.cast(schema), tmp_path / BESIDE)
    chunks = np.concatenate([columns["action_chunk"] for columns in written])
    assert np.array_equal(Demonstrations(tmp_path).column("action_chunk"), chunks)
    reorder(tmp_path / BESIDE, range(6))  # a row is lost
    with pytest.raises(ValueError, match=f"{BESIDE} has . rows of episode ., meta/episodes lists"):
        Demonstrations(tmp_path)


def test_a_bad_private_value_is_refused(tmp_path):
    write(tmp_path)
    os.remove(tmp_path / "meta/files.json")
    change(tmp_path / BESIDE, **{"observation.target": [[0.0] * 6] * 6 + [None]})
    with pytest.raises(ValueError, match=f"{BESIDE}: column 'observation.target', episode 1, row 3: null"):
        Demonstrations(tmp_path)


def test_changed_private_files_are_told_by_their_content(tmp_path):
    write(tmp_path)
    change(tmp_path / BESIDE, **{"observation.target": [[0.0] * 6] * 7})
    with pytest.raises(ValueError, match=f"{BESIDE}: "):
        Demonstrations(tmp_path)


def test_a_data_set_of_which_only_lerobots_part_was_copied_is_read_without_them(tmp_path):
    write(tmp_path)
    shutil.rmtree(tmp_path / PRIVATE)
    os.remove(tmp_path / "meta/files.json")
    dataset = Demonstrations(tmp_path)
    assert not set(COLUMNS) & set(dataset.features) and dataset.column("action").shape == (7, 7)
