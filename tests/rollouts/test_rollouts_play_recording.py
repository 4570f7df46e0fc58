"""Recordings of play outlive kills, signals to the whole group and full disks, up to a step or two."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
from play_helpers import TOY, children, playing, run, serving, toy_session

from playloop.cli.play import clean_up
from playloop.core.episode import FRESH, Episode
from playloop.core.locks import FolderLock
from playloop.core.segment import Segment
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.envs.toy import SUITE
from playloop.rollouts.play.recorder import (
    PARTS,
    ROWS,
    PlayRecorder,
    RecordingStopped,
    complete_all,
)

CONTRACT = TOY.contract()
STEPS = 30


def segment(step):
    """A step that says which it is, in its numbers and in its pictures."""
    frames = {name: np.full((1, *size, 3), 5 * step, np.uint8) for name, size in CONTRACT.cameras.items()}
    rest = {"rewards": np.zeros(1), "success": np.zeros(1, bool), "instruction": "reach the réd one"}
    action, state = np.full((1, 2), step / 3, np.float32), np.full((1, 2), step / 7, np.float32)
    return Segment(action, state, last=False, frames=frames, plan_info={"expert": step % 2}, **rest)


def record(folder, steps=STEPS, cut=20):
    """A recording of two episodes, cut at this step, that is not finished yet."""
    recorder = PlayRecorder(folder, CONTRACT, "playloop play x")
    for step in range(steps):
        if step == cut:
            recorder.end_episode()
        seen = [np.full((64, 64, 3), 5 * step, np.uint8)]
        recorder.add(Episode(SUITE, 0, FRESH, 5 + (step >= cut)), segment(step), seen)
    return recorder


def check(folder, steps, episodes=2):
    demos = Demonstrations(folder)
    assert demos.length == steps and len(demos.episodes) == episodes
    wanted = np.arange(steps, dtype=np.float32)
    assert np.array_equal(demos.column("action")[:, 0], wanted / np.float32(3))
    assert np.array_equal(demos.column("observation.state")[:, 1], (wanted / 7).astype(np.float32))
    assert [episode["seed"] for episode in demos.playloop["episodes"]] == [5, 6][:episodes]
    for step in (0, steps - 1):
        assert abs(int(demos.frame("observation.images.top", step)[0, 0, 0]) - 5 * step) <= 3
    demos.close()
    with av.open(str(folder / "play.mp4")) as film:
        assert abs(sum(1 for _ in film.decode(video=0)) - steps) <= 2
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_a_recording_that_ends_is_whole(tmp_path):
    done = record(tmp_path / "a").finish()
    assert (done.episodes, done.steps) == (2, STEPS) and done.folder == tmp_path / "a"
    check(tmp_path / "a", STEPS)


def test_a_recording_that_nobody_ends_is_completed_later(tmp_path):
    folder = tmp_path / "a"
    recorder = record(folder)  # as a kill leaves it: nothing is closed or flushed
    recorder._lock.release()
    [(text, done)] = complete_all([tmp_path, tmp_path])
    assert text == f"Completed a recording that was cut off: {done.steps} steps in {folder}"
    assert STEPS - 2 <= done.steps <= STEPS == recorder.steps
    check(folder, done.steps)
    assert complete_all([tmp_path]) == []


def test_a_torn_recording_is_completed_up_to_its_last_whole_step(tmp_path):
    folder, parts = tmp_path / "a", tmp_path / "a" / PARTS
    record(folder)._lock.release()
    rows = (parts / ROWS).read_bytes()
    (parts / ROWS).write_bytes(rows[:-7])
    part = parts / "0001.top.mp4"
    part.write_bytes(part.read_bytes()[:-100])
    [(_, done)] = complete_all([tmp_path])
    assert 24 <= done.steps < STEPS
    check(folder, done.steps)


def test_a_recording_without_a_step_leaves_nothing_and_one_that_runs_is_left_alone(tmp_path):
    assert record(tmp_path / "a", steps=0).finish() is None
    record(tmp_path / "b", steps=0)._lock.release()
    text = f"Removed a recording that was cut off before its first step: {tmp_path / 'b'}"
    assert complete_all([tmp_path]) == [(text, None)] and not (tmp_path / "b").exists()
    running = record(tmp_path / "c")
    assert complete_all([tmp_path]) == []
    with (
        pytest.raises(BlockingIOError, match="a recording of playloop play"),
        FolderLock(tmp_path / "c", "x"),
    ):
        pass
    assert running.finish().steps == STEPS


def test_a_full_disk_stops_a_recording_and_loses_nothing(tmp_path):
    """The limit on the size of a file stands for the disk: the same error from the same calls."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = record(tmp_path / "a", cut=0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
        with pytest.raises(RecordingStopped, match=r"a stopped after \d+ steps: File too large; "):
            for step in range(STEPS, 20 * STEPS):
                recorder.add(
                    Episode(SUITE, 0, FRESH, 5), segment(step % 50), [np.zeros((64, 64, 3), np.uint8)]
                )
        with pytest.raises(RecordingStopped, match="b cannot be recorded to: "):
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
            PlayRecorder(tmp_path / "b", CONTRACT)
        assert not (tmp_path / "b").exists()
        [(text, done)] = complete_all([tmp_path])
        left = f"A recording that was cut off lies in {tmp_path / 'a'} and cannot be completed yet: "
        assert (text, done) == (f"{left}File too large", None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    [(_, done)] = complete_all([tmp_path])
    assert recorder.steps - 2 <= done.steps <= recorder.steps
    assert Demonstrations(tmp_path / "a").length == done.steps


async def begin(client):
    await client.say("record", on=True)
    await client.text("status", recording=True)
    await client.frames(10)


def test_the_recording_of_a_killed_session_is_offered_to_its_page(tmp_path):
    async def play(address):
        async with playing(address) as client:
            await begin(client)
            os.kill(children(os.getpid())[-1], signal.SIGKILL)
            recorded = await client.text("recorded")
            assert "signal 9" in (await client.text("error"))["text"]
            return recorded

    with serving(toy_session(tmp_path)) as (address, _):
        recorded = run(play, address)
    assert recorded["steps"] >= 5 and Demonstrations(recorded["folder"]).length == recorded["steps"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_recording_outlives_a_signal_to_all_processes(tmp_path, number):
    before = set(Path(tempfile.gettempdir()).glob("playloop-play-*"))
    words = ["env=toy", "port=0", "browser=false", f"out={tmp_path / 'aus gäbe (1)'}"]
    heard = ["env", "--default-signal=HUP"]  # also where these tests run under nohup
    command = [*heard, sys.executable, "-m", "playloop.cli.main", "play", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    address = server.stdout.readline().split("http://")[1].split("/")[0]

    async def play(address):
        async with playing(address) as client:
            await begin(client)
            os.killpg(server.pid, number)
            await asyncio.wait_for(client.socket.wait_closed(), 30)

    run(play, address)
    said = server.communicate(timeout=60)[0]
    [folder] = (tmp_path / "aus gäbe (1)").iterdir()
    if number == signal.SIGKILL:
        left = [path for path in Path(tempfile.gettempdir()).glob("playloop-play-*") if path not in before]
        assert left and not (folder / "meta").exists()
        clean_up(folder.parent)
        assert not any(path.exists() for path in left)
    else:
        assert f"steps in {folder}" in said
    assert Demonstrations(folder).length >= 5
