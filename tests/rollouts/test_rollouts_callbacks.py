"""Videos and progress by themselves."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from rich.console import Console

from playloop.core.episode import Episode
from playloop.core.results import EpisodeResult
from playloop.core.segment import Segment
from playloop.rollouts import progress
from playloop.rollouts.callbacks import Wants
from playloop.rollouts.driver import Pending
from playloop.rollouts.progress import LOG_WIDTH, LiveLine, ProgressBar, announced, new_console
from playloop.rollouts.report import result_table
from playloop.rollouts.video import VideoRecorder, choose_videos, side_by_side

EPISODES = [Episode("s", task, init) for task in range(2) for init in range(3)]


def segment(count=2, last=False):
    pictures = np.zeros((count, 10, 12, 3), np.uint8)
    final = {"top": pictures[0]} if last else None
    zeros = np.zeros((count, 2), np.float32)
    flags = np.zeros(count, bool)
    return Segment(zeros, zeros, zeros[:, 0], flags, "go", last, {"top": pictures}, final_frames=final)


def test_wants_are_joined():
    assert Wants.union([]) == Wants(False, False)
    assert Wants.union([Wants(frames=True), Wants(trace=True)]) == Wants(True, True)


@pytest.mark.parametrize(
    ("videos", "chosen"),
    [
        ("none", []),
        ("all", EPISODES),
        (0, []),
        (1, [EPISODES[0], EPISODES[3]]),
        (2, [EPISODES[i] for i in (0, 1, 3, 4)]),
        (["s-task01-init002-seed0"], [EPISODES[5]]),
        ("s-task01-init002-seed0", [EPISODES[5]]),
    ],
)
def test_videos_are_chosen_by_number_word_or_key(videos, chosen):
    assert choose_videos(EPISODES, videos) == set(chosen)


def test_the_wait_for_the_first_episode_is_told_in_a_log(monkeypatch):
    """A scene may take minutes to build, and nothing arrives meanwhile."""
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.05)
    console = Console(file=io.StringIO(), width=100)
    bar = ProgressBar((), console)
    bar.on_start(3, 0)
    time.sleep(0.4)
    bar.on_begin(EPISODES[0])
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "episodes 0/3  building the environment …"
    assert lines[1] == "episodes 0/3  building the environment, 0:00" and 2 < len(lines) < 10
    time.sleep(0.2)
    assert sum("building" in line for line in console.file.getvalue().splitlines()) <= len(lines)
    bar.on_close()


def test_a_repeated_or_broken_episode_leaves_no_half_video(tmp_path):
    recorder = VideoRecorder(tmp_path, EPISODES[:2], fps=20)
    (tmp_path / ".old.partial").write_bytes(b"killed")
    (tmp_path / f"{EPISODES[0].key}-error.mp4").write_bytes(b"an earlier outcome")
    recorder.on_start(2, 0)
    assert [recorder.wants(episode).frames for episode in EPISODES[:3]] == [True, True, False]
    for episode in EPISODES[:3]:
        recorder.on_begin(episode)
        recorder.on_segment(episode, segment())
    recorder.on_begin(EPISODES[0])  # its worker died: again
    recorder.on_segment(EPISODES[0], segment(last=True))
    recorder.on_end(EpisodeResult(EPISODES[0], True, 2, 1.0))
    recorder.on_close()
    assert [path.name for path in tmp_path.iterdir()] == [f"{EPISODES[0].key}-success.mp4"]


def test_pictures_have_even_sides_and_a_watchable_height():
    picture = side_by_side([np.zeros((63, 63, 3), np.uint8), np.zeros((21, 41, 3), np.uint8)])
    assert picture.shape == (314, 314 + 614 + 2, 3)


def test_progress_counts_earlier_episodes_in_the_rate_but_not_in_the_pace():
    console = Console(file=io.StringIO(), width=160)
    earlier = [EpisodeResult(episode, True, 5, 1.0) for episode in EPISODES[:3]]
    bar = ProgressBar(earlier, console)
    bar.on_start(6, 3)
    assert bar.facts() == "success 100.0% (95 %: 44% to 100%) · 0 steps"
    bar.on_end(EpisodeResult(EPISODES[3], False, 5, 0.0))
    bar.on_end(EpisodeResult(EPISODES[4], False, 5, 0.0, error="died"))
    assert bar.facts().startswith("success 75.0% (95 %: 30% to 95%) · ") and bar.facts().endswith("1 error")
    bar.on_end(EpisodeResult(EPISODES[5], True, 5, 1.0))
    bar.on_close()
    text = console.file.getvalue()
    assert "6/6  success 80.0%" in text and f"{EPISODES[4].key} could not be judged: died" in text


def test_progress_is_a_live_bar_on_a_terminal():
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    bar = ProgressBar((), console)
    bar.on_start(1, 0)
    bar.on_begin(EPISODES[0])
    bar.on_segment(EPISODES[0], segment())
    bar.on_end(EpisodeResult(EPISODES[0], True, 5, 1.0))
    bar.on_close()
    text = console.file.getvalue()
    assert "1/1" in text and "success 100.0%" in text and "episodes/min" in text


def test_a_log_has_whole_lines_at_the_start_and_every_half_minute(monkeypatch, capsys):
    """Also where FORCE_COLOR asks for colours, which makes Rich take a file for a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    line = LiveLine("frames", 9, 1, new_console())
    for seconds in (10, 10, 11, 10, 10):
        now[0] += seconds
        line.show(lambda: f"{line.left()}", 1)
    line.show(lambda: "done", 3)
    line.stop()
    said = ["frames 1/9", "frames 4/9  0:52 left", "frames 9/9  done"]
    assert capsys.readouterr().err.splitlines() == said


def test_what_cannot_be_counted_is_announced_and_goes_on_saying_so(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.05)
    with announced("bench craft"):
        time.sleep(0.3)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert (first, second) == ("bench craft …", "bench craft: 0:00")
    time.sleep(0.1)
    assert capsys.readouterr().err == "", "it has ended"
    with announced("loading", after=5.0):
        pass
    assert capsys.readouterr().err == "", "too short to be told"
    with announced("loading", after=0.1):
        time.sleep(0.4)
    assert capsys.readouterr().err.startswith("loading …\nloading: 0:00\n")


RATE = {"episodes": 10, "rate": 0.5, "wilson95": [0.2, 0.8], "mean_steps": 120.0, "errors": 0}


def shown(console, tasks, errors=0):
    """The lines of a result's table; a task is its instruction."""
    counts = RATE | {"errors": errors}
    rows = [{"task": number, "instruction": text, **counts} for number, text in enumerate(tasks)]
    console.print(result_table({"overall": counts, "tasks": rows}))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


LONG = "pick up the black bowl between the plate and the ramekin and place it on the plate [upside down]"


def test_an_instruction_takes_two_lines_of_a_narrow_terminal_and_one_of_a_wide_one():
    lines = shown(Console(file=io.StringIO(), width=80), [LONG, "open the drawer"])
    assert lines[2].startswith("0  pick up the black bowl between ") and lines[2].endswith(" 120")
    assert lines[3] == "   the plate and the ramekin and…"
    assert lines[4].startswith("1  open the drawer ") and len(lines) == 7
    assert max(map(len, lines)) == 80 and "errors" not in lines[0]
    assert LONG in shown(Console(file=io.StringIO(), width=160), [LONG])[2]
    assert shown(Console(file=io.StringIO(), width=80), [LONG], errors=2)[0].endswith(" errors")


def test_a_pipe_gets_whole_lines(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    console = new_console()
    console.print(result_table({"overall": RATE, "tasks": [{"task": 0, "instruction": LONG, **RATE}]}))
    assert LONG in capsys.readouterr().err and console.width == LOG_WIDTH
    monkeypatch.setenv("COLUMNS", "90")
    assert new_console().width == 90


def test_the_count_stays_whole_on_a_narrow_terminal():
    console = Console(file=io.StringIO(), width=60, force_terminal=True)
    line = LiveLine("episodes", 500, 123, console)
    line.show(lambda: "success 100.0% (95 %: 44% to 100%) · 1:05 left · 12.3 episodes/min", 1)
    line.stop()
    assert "124/500" in console.file.getvalue() and "…" in console.file.getvalue().rpartition("124/500")[2]


def test_workers_keep_to_their_task_and_share_the_last_one():
    pending = Pending(EPISODES)
    assert pending.take(None, []) == EPISODES[0]
    assert pending.take(None, [("s", 0)]) == EPISODES[3]
    assert pending.take(("s", 1), [("s", 0)]) == EPISODES[4]
    assert pending.take(("s", 0), [("s", 1)]) == EPISODES[1]
    assert pending.take(("s", 0), [("s", 1)]) == EPISODES[2]
    assert len(pending) == 1
    assert pending.take(("s", 0), [("s", 1)]) == EPISODES[5]
    assert pending.take(("s", 0), []) is None
