"""One writer a folder: named, free at once after a kill, not kept by forked children; leftovers go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from playloop.core.locks import FolderLock, is_locked
from playloop.core.scratch import scratch_folder, staged

HOLD = """
import sys, time, os
from playloop.core.locks import FolderLock
lock = FolderLock(sys.argv[1], "a test").acquire()
if len(sys.argv) > 2 and os.fork():
    time.sleep(60)
print("held", flush=True)  # of a fork the child: it has let go by now
time.sleep(60)
"""


def holder(folder: Path, *more: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *more],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("forks", [(), ("fork",)])
def test_holder_is_named_and_a_kill_frees_the_folder(tmp_path, forks):
    process = holder(tmp_path, *forks)
    try:
        with pytest.raises(BlockingIOError, match=rf"being written by a test \(process {process.pid} on "):
            FolderLock(tmp_path, "another").acquire()
        assert is_locked(tmp_path / ".lock")
        process.kill()
        process.wait()
        with FolderLock(tmp_path, "another"):  # the forked child lives on and does not keep it
            assert is_locked(tmp_path / ".lock")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert not (tmp_path / ".lock").exists()


def test_two_locks_of_one_process(tmp_path):
    with FolderLock(tmp_path, "first"), pytest.raises(BlockingIOError, match="being written by first"):
        FolderLock(tmp_path, "second").acquire()
    FolderLock(tmp_path, "second").acquire().release()


def test_a_folder_that_was_made_and_stayed_empty_is_removed(tmp_path):
    with FolderLock(tmp_path / "runs/new", "a run"):
        assert (tmp_path / "runs/new").is_dir()
    assert not (tmp_path / "runs").exists()
    with FolderLock(tmp_path / "runs/new", "a run"):
        (tmp_path / "runs/new/result").write_text("kept")
    assert (tmp_path / "runs/new/result").is_file()
    (tmp_path / "mine").mkdir()
    with FolderLock(tmp_path / "mine", "a run"):
        pass
    assert (tmp_path / "mine").is_dir(), "not made by the lock"


def test_staged_removes_what_killed_writers_left(tmp_path):
    for name in (".made.0123abcd.partial", ".made.0123abcd.old", ".other.0123abcd.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with staged(tmp_path / "made") as partial:
        (partial / "file").write_text("new")
        assert (tmp_path / "made/file").read_text() == ".made.0123abcd.old"  # moved aside as the kill came
        with pytest.raises(BlockingIOError), staged(tmp_path / "made"):
            pass
    assert (tmp_path / "made/file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.0123abcd.partial", "made"]


def test_staged_that_fails_leaves_what_was(tmp_path):
    (tmp_path / "made").mkdir()
    with pytest.raises(RuntimeError), staged(tmp_path / "made"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_scratch_folders_of_killed_processes_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, alive = tmp_path / "playloop-test-dead", tmp_path / "playloop-test-alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / ".lock").touch()
    (dead / "large").write_text("x")
    with FolderLock(alive, "another session"), scratch_folder("test") as folder:
        assert folder.is_dir() and alive.is_dir() and not dead.exists()
    assert not folder.exists()
