"""Arrays that are made once: by one process for all, whole or not there, swept where a kill left parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from playloop.demos.arrays import in_processes, made_once, open_filled

SHAPE = (6, 4)


def fill(target: Path) -> None:
    open_filled(target)[:] = np.arange(24).reshape(SHAPE)


def test_made_once_then_read(tmp_path):
    path = tmp_path / "new/numbers.npy"
    assert np.array_equal(made_once(path, SHAPE, np.int16, fill), np.arange(24).reshape(SHAPE))
    assert np.array_equal(made_once(path, SHAPE, np.int16, pytest.fail), np.arange(24).reshape(SHAPE))
    assert [found.name for found in path.parent.iterdir()] == ["numbers.npy"]


def test_an_error_leaves_nothing(tmp_path):
    def fail(target: Path) -> None:
        raise RuntimeError("no picture")

    with pytest.raises(RuntimeError, match="no picture"):
        made_once(tmp_path / "numbers.npy", SHAPE, np.int16, fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"what is this?"])
def test_a_damaged_or_other_array_is_one_sentence(tmp_path, damage):
    path = tmp_path / "numbers.npy"
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=r"numbers.npy is damaged .*; remove it, and it is made again"):
        made_once(path, SHAPE, np.int16, fill)
    np.save(path, np.zeros((5, 4), np.int16))
    with pytest.raises(ValueError, match=r"holds int16 \(5, 4\), not int16 \(6, 4\); remove it"):
        made_once(path, SHAPE, np.int16, fill)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match=r"file/cache cannot be written, .* set cache=DIR"):
        made_once(tmp_path / "file/cache/numbers.npy", SHAPE, np.int16, fill)


def test_a_full_disk_is_one_sentence(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "playloop-test", folder]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk can be mounted by an administrator only")
    try:
        with pytest.raises(OSError, match=r"disk has no room for 1 MB .*; free some, or set cache=DIR"):
            made_once(folder / "pictures.npy", (1000, 1000), np.uint8, fill)
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


MAKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_demos_arrays import SHAPE, fill, np
from playloop.demos.arrays import in_processes, made_once
path = Path(sys.argv[1])

def slowly(target):
    in_processes(time.sleep, [float(sys.argv[2])] * 2, 2)
    fill(target)

if __name__ == "__main__":
    made_once(path, SHAPE, np.int16, slowly)
"""


def start(folder: Path, seconds: float) -> subprocess.Popen:
    """A process that makes an array with the help of two more, and holds its lock when this returns."""
    script = folder.parent / "maker.py"
    script.write_text(MAKER.format(tests=os.path.dirname(__file__)))
    words = [sys.executable, str(script), str(folder / "numbers.npy"), str(seconds)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    while not list(folder.glob(".*.partial")):
        assert process.poll() is None
        time.sleep(0.02)
    return process


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            found += [int(entry.name), *descendants(int(entry.name))]
    return found


def test_another_waits_and_finds_it(tmp_path, capsys):
    folder = tmp_path / "cache"
    maker = start(folder, 0.5)
    assert np.array_equal(
        made_once(folder / "numbers.npy", SHAPE, np.int16, pytest.fail), np.arange(24).reshape(SHAPE)
    )
    assert maker.wait() == 0
    assert f"(process {maker.pid} on " in capsys.readouterr().err
    assert [found.name for found in folder.iterdir()] == ["numbers.npy"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_maker_leaves_no_process_and_its_parts_are_swept(tmp_path, how):
    folder = tmp_path / "cache"
    maker = start(folder, 600.0)
    while len(helpers := descendants(maker.pid)) < 2:
        time.sleep(0.02)
    maker.send_signal(how)
    maker.wait()
    assert len(list(folder.glob(".*.partial"))) == 1
    (folder / ".tokens-a-b.17.partial.npy").write_bytes(b"")  # as older versions called them
    made_once(folder / "others.npy", SHAPE, np.int16, fill)
    assert [found.name for found in folder.iterdir()] == ["others.npy"]
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/exe").exists() for pid in helpers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_jobs_run_here_or_in_processes():
    for processes in (0, 1, 2):
        with pytest.raises(TypeError):
            in_processes(len, [[1], 2], processes)
        in_processes(len, [[1], [2]], processes)
