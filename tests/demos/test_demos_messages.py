"""What is no data set, or a damaged one, is told by what it is, where it is and what helps."""

from __future__ import annotations

import json
import os

import pytest
from altered_demos import DATA, EPISODES, TASKS, change, change_info, write_actions
from numbered_demos import CAMERAS, write
from vpt_files import line, write_pair

from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.open import open_demonstrations
from playloop.demos.vpt.dataset import VPTRecordings

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (["pick_up_the_cup_demo.hdf5"], r"HDF5 files, .* \(pick_up_the_cup_demo.hdf5\).*convert"),
        (["libero_object/pick_demo.hdf5"], "HDF5 files"),
        (["1.0.0/dataset_info.json", "1.0.0/libero-train.tfrecord-00000-of-00016"], "RLDS .*convert"),
        (["replay.zarr/.zgroup"], "Zarr"),
        (["model.safetensors", "config.json"], "a checkpoint, not demonstrations"),
        (["one/meta/info.json", "two/meta/info.json"], r"name them: data=\[.*one,.*two\]"),
        (["traces/a.npz", "episodes.jsonl"], "is not finished; repeat its command"),
        (["episodes.jsonl", "summary.json"], "results of episodes, no demonstrations"),
        (["meta/episodes.jsonl"], "meta/info.json does not exist; restore it"),
        (["notes.txt"], r"looked for meta/info.json .* NAME.mp4 \+ NAME.jsonl"),
        ([], "holds no demonstrations"),
    ],
)
def test_a_folder_of_another_kind_is_told_by_what_it_is(tmp_path, files, sentence):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for reader in (Demonstrations, open_demonstrations):
        with pytest.raises(FileNotFoundError, match=f"^{tmp_path} is not a finished data set: .*{sentence}"):
            reader(tmp_path)


def test_what_is_no_folder_is_told(tmp_path):
    (tmp_path / "a.hdf5").touch()
    for name, sentence in {"a.hdf5": "HDF5 files", "b": "does not exist"}.items():
        with pytest.raises(FileNotFoundError, match=sentence):
            open_demonstrations(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["meta/info.json", "meta/stats.json", "meta/playloop.json", TASKS, EPISODES, DATA, "video"]
)
@pytest.mark.parametrize("listed", [True, False])
def test_pointers_empty_and_torn_files_are_named(tmp_path, name, listed):
    root = tmp_path / "data"
    write(root, (3, 4))
    if not listed:
        os.remove(root / "meta/files.json")
    path = root / (f"videos/{CAMERAS[0]}/chunk-000/file-000.mp4" if name == "video" else name)
    whole = path.read_bytes()
    for content, sentence in (
        (POINTER.encode(), "git lfs pull"),
        (b"", "empty|not a readable|bytes instead"),
        (whole[: len(whole) // 2], "damaged|not a readable|bytes instead"),
    ):
        path.write_bytes(content)
        with pytest.raises((ValueError, OSError), match=f"{path}.*({sentence})") as refusal:
            opened = Demonstrations(root)
            opened.statistics, opened.playloop  # noqa: B018 (read when they are asked for)
        assert "\n" not in str(refusal.value)
    path.write_bytes(whole)
    assert check_dataset(root) == []


@pytest.mark.parametrize(("content", "sentence"), [(POINTER, "git lfs pull"), ("", "is empty")])
def test_a_recording_of_vpt_that_is_no_recording(tmp_path, content, sentence):
    write_pair(tmp_path, "a", [line(["w"])] * 3)
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ValueError, match=f"a.jsonl .*{sentence}"):
        VPTRecordings(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("fps", "20", "fps='20': use a finite number"),
        ("fps", 0, "fps=0: use a number above 0"),
        ("features", [], r"features=\[\]: use a mapping"),
        ("features__action", None, "features.action=None: use a mapping"),
        ("features__action__shape", "two", "features.action.shape='two': use a list"),
        ("features__action__shape", [0], "no shape of a row"),
        ("features__action__shape", [10**30], "no shape of a row"),
        ("features__action__dtype", 32, "features.action.dtype=32: use text"),
        ("data_path", None, "data_path=None: use text"),
        ("data_path", "../{chunk_index}/{file_index}", "no path below the data set"),
        ("data_path", "/etc/{file_index}", "no path below the data set"),
        ("data_path", "{chunk_index:0999999999d}", "no path below the data set"),
        ("data_path", "{chunk_index.__class__}", "no path below the data set"),
        ("data_path", "{chunk_index!r:>999999999}", "no path below the data set"),
        ("data_path", "{0}", "no path below the data set"),
        ("data_path", "{chunk_index", "no path below the data set"),
        ("codebase_version", "v2.1", r"v2\.1.*lerobot\.scripts\.convert_dataset_v21_to_v30 .*--root"),
        ("codebase_version", "v2.0", r"convert_dataset_v21_to_v30 .* brings older ones to v2\.1"),
    ],
)
def test_fields_of_the_wrong_type_are_named(tmp_path, field, value, sentence):
    write_actions(tmp_path)
    change_info(tmp_path, **{field: value})
    with pytest.raises(ValueError, match=sentence) as refusal:
        Demonstrations(tmp_path)
    assert str(tmp_path) in str(refusal.value)


def test_a_video_path_that_runs_wild_is_refused(tmp_path):
    write(tmp_path / "data", (3,))
    for template in ("{video_key:>2000000000}/{file_index}", "{video_key}/../../{file_index}", None):
        change_info(tmp_path / "data", video_path=template)
        with pytest.raises(ValueError, match=r"video_path: |video_path=None"):
            Demonstrations(tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "column", "values", "sentence"),
    [
        (EPISODES, "length", None, "row 0: length is missing"),
        (EPISODES, "length", [3, None, 3], "row 1: length=None: use a whole number"),
        (EPISODES, "length", [3, -1, 3], "row 1: length=-1: use a number of at least 0"),
        (EPISODES, "episode_index", ["a", "b", "c"], "row 0: episode_index='a': use a whole number"),
        (EPISODES, "data/chunk_index", [-1, 0, 0], "row 0: data/chunk_index=-1: use a number of at least 0"),
        (EPISODES, "tasks", [[1], [2], [3]], "row 0: tasks.0=1: use text"),
        (TASKS, "task_index", [0, None, 2], "task_index: 1=None: use a whole number"),
        (TASKS, "task_index", None, "has not the columns task_index and task, but task;"),
        (TASKS, "task", [None] * 3, "task: 0=None: use text"),
    ],
)
def test_tables_with_fields_of_the_wrong_type_are_named(tmp_path, name, column, values, sentence):
    write_actions(tmp_path)
    change(tmp_path / name, **{column: values})
    with pytest.raises(ValueError, match=f"{name}.*{sentence}"):
        Demonstrations(tmp_path)


def test_a_damaged_note_of_what_was_verified_is_as_good_as_none(tmp_path):
    write(tmp_path / "data", (3,))
    for content in ("", "[1]", '{"data/chunk-000/file-000.parquet": "x"}'):
        (tmp_path / "data/cache").mkdir(exist_ok=True)
        (tmp_path / "data/cache/verified.json").write_text(content)
        assert Demonstrations(tmp_path / "data").length == 3
    (tmp_path / "data/meta/files.json").write_text(json.dumps({DATA: 5}))
    with pytest.raises(ValueError, match=r"files.json: .*file-000.parquet=5: use a mapping"):
        Demonstrations(tmp_path / "data")


def test_inspect_takes_what_others_write_for_sound(tmp_path):
    """Text without statistics, and episodes in another order in their video than their numbers'."""
    root = tmp_path / "data"
    write(root, (3, 4))
    (root / "meta/files.json").unlink()
    change_info(root, features__note={"dtype": "string", "shape": [1], "names": None})
    for camera in CAMERAS:
        change(root / EPISODES, **{f"videos/{camera}/from_timestamp": [4 / 20, 0.0]})
    assert check_dataset(root) == []
    (root / "meta/stats.json").unlink()
    assert check_dataset(root) == ["meta/stats.json is missing; LeRobot's trainers need it"]
