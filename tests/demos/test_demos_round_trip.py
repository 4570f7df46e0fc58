"""A data set that is written is read back row by row and frame by frame."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from numbered_demos import CAMERAS, LENGTHS, read_number, write

from playloop.core.images import shrink
from playloop.demos.frames import FrameCache
from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp("round_trip") / "data"
    return root, write(root)


def test_columns_return(recorded):
    root, written = recorded
    dataset = Demonstrations(root)
    for name in ("observation.state", "action", "action_chunk"):
        assert np.array_equal(dataset.column(name), np.concatenate([columns[name] for columns in written]))
    assert np.array_equal(dataset.column("expert"), np.concatenate([c["expert"][:, 0] for c in written]))
    assert dataset.column("index").tolist() == list(range(sum(LENGTHS)))
    assert dataset.column("episode_index").tolist() == np.repeat(np.arange(5), LENGTHS).tolist()
    assert dataset.column("task_index").tolist() == np.repeat([0, 1, 0, 1, 0], LENGTHS).tolist()
    assert dataset.tasks == {0: "task 0", 1: "task 1"}
    assert dataset.playloop == {"seed": 3}


@pytest.mark.parametrize("fps", [20, 10, 2.5, 30])
def test_every_frame_at_its_number(tmp_path, fps):
    write(tmp_path / "data", lengths=(3, 1, 8), fps=fps)
    dataset = Demonstrations(tmp_path / "data")
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(12), 3))
    for offset, camera in enumerate(CAMERAS):
        assert [read_number(dataset.frame(camera, int(i))) - 1000 * offset for i in order] == order.tolist()


def test_several_episodes_share_a_file_and_large_ones_split(recorded, tmp_path):
    root, _ = recorded
    assert len(list(root.rglob("videos/**/*.mp4"))) == 2
    assert len(list(root.rglob("data/**/*.parquet"))) == 1
    write(tmp_path / "data", data_megabytes=0, video_megabytes=0)
    assert len(list((tmp_path / "data").rglob("videos/**/*.mp4"))) == 10
    assert len(list((tmp_path / "data").rglob("data/**/*.parquet"))) == 5
    one, many = Demonstrations(root), Demonstrations(tmp_path / "data")
    assert np.array_equal(one.column("action_chunk"), many.column("action_chunk"))
    indices = np.arange(one.length)[::-1]
    for camera in CAMERAS:
        assert np.array_equal(one.frames(camera, indices), many.frames(camera, indices))
    assert check_dataset(root) == check_dataset(tmp_path / "data") == []


def test_layout_is_lerobot_v3(recorded):
    root, _ = recorded
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 20 and info["chunks_size"] == 1000
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (5, 31, 2)
    assert info["features"][CAMERAS[0]]["info"]["video.pix_fmt"] == "yuv444p"
    schema = pq.read_schema(root / "data/chunk-000/file-000.parquet")
    assert not set(CAMERAS) & set(schema.names)
    assert str(schema.field("action").type) == "fixed_size_list<element: float>[7]"
    described = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert described["action_chunk"] == {"shape": [8, 7], "dtype": "float32", "_type": "Array2D"}
    episodes = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [e["dataset_from_index"] for e in episodes] == [0, 1, 8, 20, 22]
    assert [e[f"videos/{CAMERAS[1]}/from_timestamp"] for e in episodes] == [0.0, 0.05, 0.4, 1.0, 1.1]
    assert np.shape(episodes[2][f"stats/{CAMERAS[0]}/q99"]) == (3, 1, 1)


def test_statistics_are_those_of_the_data(recorded):
    root, written = recorded
    stored = Demonstrations(root).statistics["action"]
    actions = np.concatenate([columns["action"] for columns in written]).astype(np.float64)
    for name, expected in {
        "mean": actions.mean(0),
        "std": actions.std(0),
        "q01": np.quantile(actions, 0.01, axis=0),
    }.items():
        np.testing.assert_allclose(stored[name], expected, rtol=1e-9, atol=1e-9)
    assert stored["count"].tolist() == [31]


@pytest.mark.parametrize("processes", [1, 2])
def test_frame_cache_equals_shrunk_frames(recorded, tmp_path, processes):
    dataset = Demonstrations(recorded[0])
    cache = FrameCache(dataset, CAMERAS[0], (32, 32), processes=processes, folder=tmp_path)
    assert [read_number(image) for image in cache[np.arange(31)]] == list(range(31))
    assert np.array_equal(cache[11], shrink(dataset.frame(CAMERAS[0], 11), 32))
    stamp = cache.path.stat().st_mtime_ns
    assert FrameCache(dataset, CAMERAS[0], (32, 32), folder=tmp_path).path.stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match="whole fraction"):
        FrameCache(dataset, CAMERAS[0], (48, 48), folder=tmp_path)
