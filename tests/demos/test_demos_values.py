"""Every value of every column is looked at when a data set is opened."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from altered_demos import DATA, change, change_info, write_actions

from playloop.core.minecraft import ACTION_NAMES, action_vector
from playloop.demos.corrupt import CorruptFile
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.values import read_rows
from playloop.demos.lerobot.writer import DatasetWriter

PAIR, ONE = {"dtype": "float32", "shape": [2]}, {"dtype": "int64", "shape": [1]}


@pytest.mark.parametrize(
    ("stored", "feature", "faults"),
    [
        ([[1, 2], [None, None], [3, 4]], PAIR, {1: "null in it"}),
        ([[1, 2], None, [3, 4]], PAIR, {1: "null"}),
        ([[1, 2], [1, np.nan], [np.inf, 4]], PAIR, {1: "nan is no finite float32", 2: "inf is no"}),
        ([[1, 2], [1], [3, 4, 5]], PAIR, {1: "another length", 2: "another length"}),
        ([[1, 2], [1e39, 0]], PAIR, {1: r"1e\+39 is no finite float32"}),
        ([["a", "b"]], PAIR, {0: "'a' is no finite float32"}),
        ([1.0, 2.0], PAIR, {0: "double, not 2 numbers", 1: "double, not 2 numbers"}),
        ([1, None, 3], ONE, {1: "null"}),
        ([1.0, 1.5, np.nan], ONE, {1: "1.5 is no finite int64", 2: "nan"}),
        ([1, 300], {"dtype": "uint8", "shape": [1]}, {1: "300 is no"}),
        ([0, 1, 2], {"dtype": "bool", "shape": [1]}, {2: "2 is no"}),
        ([[[1.0, 2.0]], [[1.0, None]]], {"dtype": "float32", "shape": [1, 2]}, {1: "null in it"}),
        ([[1], [2]], ONE, {}),
        ([True, False], ONE, {}),
    ],
)
def test_rows_that_cannot_be_used_are_told_apart(stored, feature, faults):
    values, found = read_rows(pa.chunked_array([pa.array(stored)]), feature)
    assert found.keys() == faults.keys()
    assert all(re.search(faults[row], found[row]) for row in faults)
    assert values.dtype == feature["dtype"] and np.isfinite(values.astype(float)).all()
    for row in set(range(len(stored))) - set(faults):
        assert np.array_equal(values[row], np.reshape(stored[row], values[row].shape))


BAD = {
    "action": [[1.0, 2.0]] * 4 + [[None, None]] + [[1.0, 2.0]] * 4,
    "observation.state": [1.0] * 4 + [float("nan")] + [1.0] * 4,
    "expert": [1] * 4 + [None] + [1] * 4,
    "expert ": [1] * 4 + [2] + [1] * 4,
    "timestamp": [0.0] * 4 + [float("inf")] + [0.0] * 4,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_by_file_column_episode_and_row_or_its_episode_left_out(tmp_path, name):
    write_actions(tmp_path)
    values, name = BAD[name], name.strip()
    change(tmp_path / DATA, **{name: values})
    with pytest.raises(CorruptFile, match=f"{DATA}: column '{name}', episode 1, row 1: .*on_corrupt='skip'"):
        Demonstrations(tmp_path)
    dataset = Demonstrations(tmp_path, on_corrupt="skip")
    assert set(dataset.skipped) == {1} and f"column '{name}'" in dataset.skipped[1]
    assert dataset.column("index").tolist() == [0, 1, 2, 6, 7, 8]


def test_a_column_that_is_declared_and_missing_is_named(tmp_path):
    write_actions(tmp_path)
    change(tmp_path / DATA, expert=None)
    with pytest.raises(CorruptFile, match="no column 'expert' that is declared"):
        Demonstrations(tmp_path)


def test_text_beside_the_numbers_does_no_harm(tmp_path):
    write_actions(tmp_path)
    change(tmp_path / DATA, expert=["by hand"] * 9)
    change_info(tmp_path, features__expert__dtype="string")
    assert Demonstrations(tmp_path).column("expert").tolist() == ["by hand"] * 9


def minecraft_set(root, vector, names=ACTION_NAMES, **fields):
    contract = {
        "family": "minerl",
        "action": "keys",
        "action_names": list(names),
        "control_hz": 20,
        "cameras": {},
        "image_convention": "upright",
        "state_names": [],
        "success_rule": "none",
    }
    with DatasetWriter(root, 20, {"action": {"dtype": "float32", "shape": [25], "names": None}}) as writer:
        writer.add_episode({"action": np.stack([np.zeros(25, np.float32), vector])}, {}, "play")
        writer.finalize({"contract": contract | fields})


@pytest.mark.parametrize("action", [{"jump": 7}, {"use": -1}, {"camera": (0, 400)}, {"camera": (-181, 0)}])
def test_actions_outside_of_their_space_are_refused(tmp_path, action):
    minecraft_set(tmp_path / "good", action_vector({"jump": 1, "camera": (-180, 180)}))
    assert Demonstrations(tmp_path / "good").length == 2
    minecraft_set(tmp_path / "bad", action_vector(action))
    with pytest.raises(CorruptFile, match="'action', episode 0, row 1: outside of what is declared"):
        Demonstrations(tmp_path / "bad")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"names": ACTION_NAMES[:3]}, "names 3 numbers of action, .* shape \\[25\\]"),
        ({"cameras": {"pov": "wide"}}, "cameras.pov='wide': use a list"),
        ({"control_hz": None}, "control_hz=None: use a finite number"),
    ],
)
def test_a_contract_that_does_not_fit_its_data_is_refused_when_it_is_opened(tmp_path, fields, sentence):
    minecraft_set(tmp_path / "data", action_vector({}), **fields)
    with pytest.raises(ValueError, match=f"playloop.json: contract: .*{sentence}"):
        Demonstrations(tmp_path / "data")
