"""What `playloop record` does with counts, failures, errors and other runs, on the toy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playloop.configs.compose import load
from playloop.core.locks import FolderLock
from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.rollouts.recording.record import described, record, spread


@pytest.fixture(autouse=True)
def _agents(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def settings(out, *words):
    return load(
        "record", ["env=toy", "agent._target_=toy_agents.ReacherConfig", "workers=0", *words, f"out={out}"]
    )


@pytest.mark.parametrize(
    ("episodes", "tasks", "counts", "said"),
    [
        (4, range(10), [1] * 4 + [0] * 6, "1 of each of the tasks 0 to 3; none of the tasks 4 to 9."),
        (25, range(10), [3] * 5 + [2] * 5, "3 of each of the tasks 0 to 4; 2 of each of the tasks 5 to 9."),
        (500, range(10), [50] * 10, "50 of each of the tasks 0 to 9."),
        (3, [7, 2], [2, 1], "2 of task 7; 1 of task 2."),
        (4, [0, 1, 5, 6], [1] * 4, "1 of each of the tasks 0, 1, 5, 6."),
    ],
)
def test_as_many_episodes_as_asked_for_spread_over_the_tasks(episodes, tasks, counts, said):
    assert spread(episodes, tasks) == dict(zip(tasks, counts, strict=True))
    found, _, fix = described(spread(episodes, tasks)).partition(" Choose others with ")
    assert found == f"Recording {episodes} episodes: {said}" and bool(fix) == (min(counts) == 0)


def test_fewer_episodes_than_tasks_are_one_each_of_the_first_and_it_is_said(tmp_path, capsys):
    record(settings(tmp_path / "out", "episodes=3"))
    said = capsys.readouterr().err
    assert said.startswith(
        "Recording 3 episodes: 1 of each of the tasks 0 to 2; none of task 3. "
        "Choose others with tasks=[…], or give episodes=4 for one of each.\n"
    )
    dataset = Demonstrations(tmp_path / "out")
    assert [dataset.tasks[task] for task in dataset.column("task_index")[dataset.starts[:-1]]] == [
        "reach the red square",
        "reach the green square",
        "reach the blue square",
    ]
    assert check_dataset(tmp_path / "out") == []


def test_files_of_somebody_else_are_refused_and_stay(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("notes", "thesis"):
        (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine holds other files \(notes, thesis\); name a new folder"):
        record(settings(tmp_path / "mine", "episodes=3"))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["notes", "thesis"]


def test_an_agent_that_fails_too_often_is_told_by_what_happened(tmp_path):
    with pytest.raises(
        ValueError, match=r"task 2 has 0 of 1 .* after 3 tries: 3 failed, 0 ended in an error"
    ):
        record(settings(tmp_path / "out", "episodes=4", "agent.failing=2"))


def test_errors_are_told_and_run_again_when_the_command_is_repeated(tmp_path):
    broken = tmp_path / "broken.now"
    broken.touch()
    config = settings(tmp_path / "out", "tasks=[1]", "episodes=1", f"agent.broken={broken.with_suffix('')}")
    with pytest.raises(
        ValueError, match=r"0 failed, 3 ended in an error, .*the arm is unplugged.*repeat the command"
    ):
        record(config)
    broken.unlink()
    record(config)
    kept = json.loads((tmp_path / "out/meta/playloop.json").read_text())
    assert [episode["seed"] for episode in kept["episodes"]] == [0], "as if there had been no error"


def test_another_run_is_refused_by_its_holder_and_touches_nothing(tmp_path):
    out = tmp_path / "out"
    with FolderLock(out, "another recording"):
        (out / "traces").mkdir()
        with pytest.raises(BlockingIOError, match="is being written by another recording"):
            record(settings(out, "episodes=1"))
        assert sorted(path.name for path in out.iterdir()) == [".lock", "traces"]


def test_other_weights_under_the_same_name_do_not_continue_a_recording(tmp_path):
    """Nor do other settings where config.json was lost."""
    weights, broken = tmp_path / "weights", tmp_path / "broken.now"
    weights.write_text("first")
    broken.touch()
    named = f"agent.broken={broken.with_suffix('')}"
    words = ["tasks=[0]", "episodes=1", named, f"agent.weights={weights}"]
    with pytest.raises(ValueError, match="unplugged"):
        record(settings(tmp_path / "out", *words))
    weights.write_text("second")
    with pytest.raises(ValueError, match=r"acts.*another configuration|another configuration.*acts"):
        record(settings(tmp_path / "out", *words))
    (tmp_path / "out/config.json").unlink()
    with pytest.raises(ValueError, match="another configuration"):
        record(settings(tmp_path / "out", *words))


@pytest.mark.parametrize("word", ["episodes=0", "stride=0", "episodes=-3"])
def test_counts_are_checked_before_anything_is_built(tmp_path, word):
    with pytest.raises(ValueError, match=word.split("=")[0]):
        record(settings(tmp_path / "out", word))
    assert not (tmp_path / "out").exists()
