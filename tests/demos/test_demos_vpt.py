"""A folder of VPT's recordings is read like any data set; what is damaged is told or left out."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from numbered_demos import read_number, write
from vpt_files import line, noise, write_pair

from playloop.core.images import resize, shrink
from playloop.core.minecraft import index_of
from playloop.demos.corrupt import CorruptFile
from playloop.demos.frames import FrameCache
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.open import open_demonstrations
from playloop.demos.video.decoder import VideoDecoder
from playloop.demos.vpt.dataset import CAMERA, VPTRecordings, draw_cursor, runs
from playloop.envs.minerl import MineRLConfig

YAW = index_of("camera.yaw")


def turning(count: int, first: int = 0, gui=()) -> list[dict]:
    """Line i turns by i + 1 counts, so that an action tells its line."""
    return [line(dx=first + number + 1, gui=number in gui) for number in range(count)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("vpt") / "recordings"
    write_pair(root, "b", turning(9, 100, gui=(3, 4, 8)))
    write_pair(root, "a", turning(6))
    return root


def test_rows_are_the_frames_with_their_own_actions(root):
    dataset = VPTRecordings(root)
    assert [(e["recording"], e["first"], e["length"]) for e in dataset.episodes] == [
        ("a", 0, 6),
        ("b", 0, 3),
        ("b", 5, 3),
    ]
    assert dataset.length == 12 and dataset.starts.tolist() == [0, 6, 9, 12]
    numbers = [read_number(image) for image in dataset.frames(CAMERA, np.arange(12))]
    assert numbers == [0, 1, 2, 3, 4, 5, 0, 1, 2, 5, 6, 7]
    expected = np.array([1, 2, 3, 4, 5, 6, 101, 102, 103, 106, 107, 108]) * 0.15
    np.testing.assert_allclose(dataset.column("action")[:, YAW], expected, rtol=1e-6)
    assert dataset.column("frame_index").tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 0, 1, 2]
    assert dataset.column("episode_index").tolist() == dataset.episode_index.tolist()
    assert not dataset.column("gui").any()
    np.testing.assert_allclose(dataset.column("timestamp")[:3], [0, 0.05, 0.1])
    dataset.close()


def test_it_has_what_training_asks_of_a_data_set(root):
    dataset = VPTRecordings(root)
    assert set(dir(Demonstrations)) <= set(dir(dataset))
    for name in set(dataset.features) - set(dataset.cameras):
        column, shape = dataset.column(name), tuple(dataset.features[name]["shape"])
        assert column.shape == (dataset.length, *(() if shape == (1,) else shape))
        assert column.dtype == dataset.features[name]["dtype"]
    assert dataset.tasks[dataset.column("task_index")[0]] == "play Minecraft"
    assert dataset.statistics["action"]["max"][YAW] == pytest.approx(108 * 0.15)
    assert json.loads(json.dumps(dataset.playloop))["contract"]["cameras"] == {"pov": [64, 64]}
    with pytest.raises(KeyError, match="no column 'reward'"):
        dataset.column("reward")
    with pytest.raises(KeyError, match="no camera 'front'"):
        dataset.frame("front", 0)
    with pytest.raises(IndexError, match="Row 12"):
        dataset.frame(CAMERA, 12)


def test_what_is_learned_from_it_can_act_in_minerl(root):
    theirs, mine = MineRLConfig().contract(), VPTRecordings(root).contract
    assert [line for line in mine.differences(theirs) if not line.startswith("camera")] == []


def test_gui_frames_can_stay_with_the_cursor_drawn(root):
    dropped, marked = VPTRecordings(root), VPTRecordings(root, gui="mark")
    assert [e["length"] for e in marked.episodes] == [6, 9]
    assert marked.column("gui").tolist() == [0] * 6 + [0, 0, 0, 1, 1, 0, 0, 0, 1]
    plain, drawn = dropped.frame(CAMERA, 6), marked.frame(CAMERA, 6)
    assert np.array_equal(plain, drawn)
    decoder = VideoDecoder(root / "b.mp4", 20)
    expected = draw_cursor(decoder.frame(3), np.array([640.0, 360.0]))
    assert np.array_equal(marked.frame(CAMERA, 9), expected)
    assert not np.array_equal(decoder.frame(3), expected)
    decoder.close()


def test_null_actions_can_be_skipped_and_part_the_episodes(tmp_path):
    lines = [line(["w"]), line(["w"]), line(), line(dx=1), line(["w"]), line(["w"]), line(), line(["w"])]
    write_pair(tmp_path, "a", lines)
    assert [e["length"] for e in VPTRecordings(tmp_path).episodes] == [8]
    dataset = VPTRecordings(tmp_path, skip_null=True)
    assert [(e["first"], e["length"]) for e in dataset.episodes] == [(0, 2), (3, 3)]  # row 7 alone is no clip


def test_runs():
    assert runs(np.array([1, 1, 0, 1, 0, 0, 1, 1, 1], bool)) == [(0, 2), (3, 4), (6, 9)]
    assert runs(np.zeros(3, bool)) == [] and runs(np.ones(3, bool)) == [(0, 3)]


def test_identity_changes_with_content_and_options(root, tmp_path):
    one = VPTRecordings(root).identity
    assert len(one) == 12 and one == VPTRecordings(root).identity
    others = {VPTRecordings(root, gui="mark").identity, VPTRecordings(root, skip_null=True).identity}
    write_pair(tmp_path, "a", turning(6, first=1))
    write_pair(tmp_path, "b", turning(9, 100, gui=(3, 4, 8)))
    others.add(VPTRecordings(tmp_path).identity)
    assert len(others | {one}) == 4


def test_lines_are_read_once_and_again_when_they_change(tmp_path):
    write_pair(tmp_path, "a", turning(4))
    first = VPTRecordings(tmp_path).column("action")
    assert (tmp_path / "cache" / "a.lines.npz").exists()
    assert np.array_equal(VPTRecordings(tmp_path).column("action"), first)
    write_pair(tmp_path, "a", turning(4, first=7))
    assert VPTRecordings(tmp_path).column("action")[0, YAW] == pytest.approx(8 * 0.15)


@pytest.mark.parametrize("size", [(64, 64), (224, 384), (180, 320), (720, 1280)])
@pytest.mark.parametrize("processes", [1, 2])
def test_frame_caches_of_any_size(tmp_path, size, processes):
    frames = [noise((360, 640), seed) for seed in range(4)]
    write_pair(tmp_path, "a", [line(["w"], gui=number == 2) for number in range(4)], frames)
    dataset = VPTRecordings(tmp_path, gui="mark")
    cache = FrameCache(dataset, CAMERA, size, processes)
    assert cache.array.shape == (4, *size, 3)
    for row in range(4):
        assert np.array_equal(cache[row], resize(dataset.frame(CAMERA, row), size))


def triangle(large: int, small: int) -> np.ndarray:
    """Weights [small, large] of a bilinear filter as wide as the pixels that become one, or as one pixel."""
    scale = large / small
    centres, places = (np.arange(small) + 0.5) * scale, np.arange(large) + 0.5
    weights = np.clip(1 - np.abs(places - centres[:, None]) / max(scale, 1), 0, None)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [(64, 64), (224, 384), (100, 640), (720, 1280)])
def test_resizing_is_a_wide_bilinear_filter(size):
    image = noise((360, 640))
    rows, columns = triangle(360, size[0]), triangle(640, size[1])
    mean = np.einsum("hH,HWc,wW->hwc", rows, image.astype(float), columns, optimize=True)
    np.testing.assert_allclose(resize(image, size), mean, atol=1.01)


def test_whole_fractions_are_those_of_the_policies():
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    for size in ((360, 640), (180, 320), (45, 80)):
        assert np.array_equal(resize(image, size), shrink(image, size))


def damage_nothing_there(root):
    os.remove(root / "b.mp4")


def damage_no_lines(root):
    os.remove(root / "b.jsonl")


def damage_torn_line(root):
    text = (root / "b.jsonl").read_text()
    (root / "b.jsonl").write_text(text[:-40])


def damage_lost_line(root):
    lines = (root / "b.jsonl").read_text().splitlines(keepends=True)
    (root / "b.jsonl").write_text("".join(lines[:4] + lines[5:]))


def damage_torn_video(root):
    content = (root / "b.mp4").read_bytes()
    (root / "b.mp4").write_bytes(content[: len(content) // 2])


def damage_rate(root):
    write_pair(root, "b", turning(9), fps=30.0)


def damage_size(root):
    write_pair(root, "b", turning(9), [noise((40, 80))] * 9)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_nothing_there, r"b\.mp4 is missing"),
        (damage_no_lines, r"b\.jsonl is missing"),
        (damage_torn_line, "line 9 is torn"),
        (damage_lost_line, "9 frames, its jsonl 8 lines"),
        (damage_torn_video, r"b\.mp4 is missing or not a readable video"),
        (damage_rate, "30 frames a second"),
        (damage_size, "put videos of one size"),
    ],
)
def test_damaged_pairs_are_refused_or_skipped(tmp_path, damage, sentence):
    write_pair(tmp_path, "a", turning(6))
    write_pair(tmp_path, "b", turning(9))
    damage(tmp_path)
    with pytest.raises(CorruptFile, match=sentence):
        VPTRecordings(tmp_path)
    with pytest.raises(CorruptFile, match="on_corrupt='skip'"):
        VPTRecordings(tmp_path)
    dataset = VPTRecordings(tmp_path, on_corrupt="skip")
    assert [e["recording"] for e in dataset.episodes] == ["a"] and set(dataset.skipped) == {"b"}
    write_pair(tmp_path / "alone", "a", turning(6))
    assert dataset.identity == VPTRecordings(tmp_path / "alone").identity


def test_slack_cuts_what_is_over(tmp_path):
    write_pair(tmp_path, "a", turning(6), [noise((40, 80))] * 7)
    write_pair(tmp_path, "b", turning(6), [noise((40, 80))] * 5)
    assert [e["length"] for e in VPTRecordings(tmp_path, slack=1).episodes] == [6, 5]


def test_nothing_to_learn_from_is_told(tmp_path):
    write_pair(tmp_path, "a", [line(gui=True)] * 4)
    with pytest.raises(CorruptFile, match="no 2 frames in a row"):
        VPTRecordings(tmp_path)
    with pytest.raises(ValueError, match="gui is 'hide'"):
        VPTRecordings(tmp_path, gui="hide")


def test_any_folder_of_demonstrations_is_opened(root, tmp_path):
    write(tmp_path / "lerobot", lengths=(3, 2))
    assert type(open_demonstrations(tmp_path / "lerobot")) is Demonstrations
    assert type(open_demonstrations(str(root))) is VPTRecordings
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"meta/info.json .* NAME.mp4 \+ NAME.jsonl"):
        open_demonstrations(tmp_path / "empty")
    (tmp_path / "lerobot" / ".partial").mkdir()
    (tmp_path / "lerobot" / "meta" / "info.json").unlink()
    with pytest.raises(FileNotFoundError, match="not finished"):
        open_demonstrations(tmp_path / "lerobot")
