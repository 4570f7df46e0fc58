"""Damaged files are named and refused or skipped; a killed writer leaves nothing that looks whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from numbered_demos import CAMERAS, FEATURES, episode_columns, number_image, read_number, write
from vpt_files import line, write_pair

from playloop.cli.main import main
from playloop.demos.corrupt import CorruptFile
from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.demos.video.decoder import VideoDecoder
from playloop.demos.video.encoder import encode_video

LENGTHS = (3, 4, 5)
VIDEO = f"videos/{CAMERAS[1]}/chunk-000/file-001.mp4"
PARQUET = "data/chunk-000/file-001.parquet"


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "data", LENGTHS, data_megabytes=0, video_megabytes=0)  # one file an episode
    return tmp_path / "data"


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


# A flipped byte can only be told by a fingerprint; the rest also in data sets of other writers.
@pytest.mark.parametrize("file", [VIDEO, PARQUET])
@pytest.mark.parametrize(
    ("damage", "listed"),
    [(truncate, True), (flip, True), (os.remove, True), (truncate, False), (os.remove, False)],
)
def test_damaged_file_is_named_and_refused_or_skipped(root, file, damage, listed):
    if not listed:
        os.remove(root / "meta/files.json")
    damage(root / file)
    with pytest.raises(CorruptFile, match=file):
        Demonstrations(root)
    dataset = Demonstrations(root, on_corrupt="skip")
    assert list(dataset.skipped) == [1] and file in dataset.skipped[1]
    assert dataset.length == 8
    assert dataset.column("index").tolist() == [0, 1, 2, 7, 8, 9, 10, 11]
    numbers = [read_number(image) - 1000 for image in dataset.frames(CAMERAS[1], list(range(8)))]
    assert numbers == [0, 1, 2, 7, 8, 9, 10, 11]
    assert [file in problem for problem in check_dataset(root)] == [True]


def test_checked_data_set_is_not_hashed_again_until_it_changes(root):
    Demonstrations(root)
    stamps = json.loads((root / "cache/verified.json").read_text())
    assert VIDEO in stamps and PARQUET in stamps
    flip(root / VIDEO)
    with pytest.raises(CorruptFile, match="changed since"):
        Demonstrations(root)


def test_rot_under_an_unchanged_time_stamp_is_found_by_the_full_check(root):
    """And in a copy at once: its place on the disk is another."""
    Demonstrations(root)
    state = (root / VIDEO).stat()
    flip(root / VIDEO)
    os.utime(root / VIDEO, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(CorruptFile, match="changed since"):
        Demonstrations(root)
    stamps = json.loads((root / "cache/verified.json").read_text())
    state = (root / VIDEO).stat()  # rot leaves no time stamp at all: the note says that all is well
    stamps[VIDEO] = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, listed(root)[VIDEO]]
    (root / "cache/verified.json").write_text(json.dumps(stamps))
    assert Demonstrations(root).length == 12
    assert [VIDEO in problem and "changed since" in problem for problem in check_dataset(root)] == [True]
    with pytest.raises(CorruptFile, match="changed since"):
        Demonstrations(root)


def test_inspect_reads_a_data_set_through(root, tmp_path, capsys):
    assert main(["inspect", str(root)]) == 0
    said = capsys.readouterr().out
    assert (
        "3 episodes, 12 rows, 20 a second" in said
        and "task 1" in said
        and "first and last frame: sound" in said
    )
    write_pair(tmp_path / "vpt", "a", [line(["w"])] * 3)
    assert main(["inspect", str(tmp_path / "vpt")]) == 0
    assert "VPT's recordings" in capsys.readouterr().out
    flip(root / PARQUET)
    assert main(["inspect", str(root)]) == 2
    assert f"{PARQUET}: changed since it was written" in capsys.readouterr().err


def listed(root):
    files = json.loads((root / "meta/files.json").read_text())
    return {name: record["sha256"] for name, record in files.items()}


def test_check_finds_a_wrong_place(root, tmp_path):
    os.remove(root / "meta/files.json")
    short = np.stack([number_image(0)] * 2)
    encode_video(short, root / VIDEO, 20)
    assert any(
        VIDEO in found and "2 frames, its episodes have 4 rows" in found for found in check_dataset(root)
    )


def test_bad_episodes_are_refused_and_leave_no_trace(tmp_path):
    rng = np.random.default_rng(0)
    parts = {camera: tmp_path / f"{camera}.mp4" for camera in CAMERAS}
    for path in parts.values():
        encode_video(np.stack([number_image(n) for n in range(4)]), path, 20)
    writer = DatasetWriter(tmp_path / "data", 20, FEATURES)
    good = episode_columns(rng, 4)
    for columns, sentence in (
        (episode_columns(rng, 5), "4 frames, the episode has 5 rows"),
        ({**good, "action": good["action"][:, :6]}, "wants"),
        ({**good, "action": good["action"] * np.nan}, "NaN"),
        ({"action": good["action"]}, "An episode needs"),
    ):
        with pytest.raises(ValueError, match=sentence):
            writer.add_episode(columns, parts, "never")
    writer.add_episode(good, parts, "once")
    writer.finalize()
    dataset = Demonstrations(tmp_path / "data")
    assert (dataset.length, dataset.tasks, check_dataset(tmp_path / "data")) == (4, {0: "once"}, [])
    with pytest.raises(FileExistsError, match="finished data set"):
        DatasetWriter(tmp_path / "data", 20, FEATURES)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import numbered_demos as trip
from playloop.demos.lerobot.writer import DatasetWriter
finish = DatasetWriter.finalize
def wait(self, *arguments):
    print("all episodes written", flush=True)
    sys.stdin.read()
    finish(self, *arguments)
DatasetWriter.finalize = wait
trip.write(Path({root!r}))
"""


def test_killed_writer_leaves_no_data_set_and_the_next_begins_anew(tmp_path):
    root = tmp_path / "data"
    code = KILLED.format(tests=os.path.dirname(__file__), root=str(root))
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == b"all episodes written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    with pytest.raises(FileNotFoundError, match="not finished; repeat"):
        Demonstrations(root)
    write(root)
    assert check_dataset(root) == []
    assert not (root / ".partial").exists()


def test_two_writers_of_one_data_set_do_not_touch_each_other(tmp_path):
    root = tmp_path / "data"
    code = KILLED.format(tests=os.path.dirname(__file__), root=str(root))
    first = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None and first.stdout.readline() == "all episodes written\n"
    with pytest.raises(BlockingIOError, match=f"process {first.pid} on"):
        DatasetWriter(root, 20, FEATURES)
    first.communicate("")  # it goes on, and ends
    assert check_dataset(root) == [] and not (root / ".partial").exists()


class Counted:
    """A container that counts the pictures which are decoded."""

    def __init__(self, container):
        self.container, self.decoded = container, 0

    def seek(self, *arguments, **options):
        self.container.seek(*arguments, **options)

    def decode(self, stream):
        for frame in self.container.decode(stream):
            self.decoded += 1
            yield frame


def test_random_access_costs_a_few_pictures(tmp_path):
    """Wherever in the file they lie: a read in the middle does not begin at the front."""
    rng = np.random.default_rng(0)
    path = tmp_path / "long.mp4"
    encode_video((rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(600)), path, 20)
    decoder = VideoDecoder(path, 20)
    counted = decoder._container = Counted(decoder._container)
    for number in rng.permutation(600)[:200]:
        decoder.frame(int(number))
    assert 200 <= counted.decoded < 200 * 4
