"""Rows, episodes and tasks are found by the numbers that they carry, wherever they lie."""

from __future__ import annotations

import os

import numpy as np
import pytest
from altered_demos import DATA, EPISODES, TASKS, change, reorder, write_actions
from numbered_demos import CAMERAS, read_number, write

from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.training.rows import instructions


def renumber_tasks(root, numbers):
    """The tasks a, b, c get these numbers, in the table and in the rows."""
    change(root / TASKS, task_index=list(numbers), task=["a", "b", "c"])
    change(root / DATA, task_index=np.repeat(numbers, 3))


def test_every_row_has_its_own_instruction_whatever_the_tasks_numbers_are(tmp_path):
    """Gaps, another order, and several data sets one behind the other."""
    for name, numbers in {"gaps": (0, 2, 5), "order": (2, 0, 1), "plain": (0, 1, 2)}.items():
        write_actions(tmp_path / name)
        renumber_tasks(tmp_path / name, numbers)
    datasets = [Demonstrations(tmp_path / name) for name in ("gaps", "order", "plain")]
    assert datasets[0].tasks == {0: "a", 2: "b", 5: "c"}
    texts, places = instructions(datasets)
    assert [texts[place] for place in places] == 3 * ["a", "a", "a", "b", "b", "b", "c", "c", "c"]


@pytest.mark.parametrize(
    ("alter", "sentence"),
    [
        (lambda r: change(r / TASKS, task_index=[0, 0, 2]), "task 0 is both 'a' and 'b'"),
        (
            lambda r: change(r / TASKS, task_index=[0, 1, 7]),
            "episode 2 has task 2, which is not in meta/tasks",
        ),
        (lambda r: change(r / DATA, task_index=[-1] * 9), "episode 0 has task -1, which is not in"),
        (lambda r: change(r / DATA, task_index=[1] * 9), r"episode 0 has task 1, 'b' .* but \['a'\]"),
        (lambda r: change(r / EPISODES, episode_index=[0, 1, 1]), "lists episode 1 twice"),
        (lambda r: change(r / DATA, episode_index=[0] * 9), "9 rows of episode 0, meta/episodes lists 3"),
        (lambda r: change(r / DATA, frame_index=[0, 1, 1] * 3), "does not number the rows of episode 0"),
        (lambda r: reorder(r / DATA, range(8)), "2 rows of episode 2, meta/episodes lists 3"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path, alter, sentence):
    write_actions(tmp_path)
    alter(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        Demonstrations(tmp_path)


def test_a_task_may_be_said_in_other_words(tmp_path):
    """An edited text is in meta/tasks.parquet alone, and is the one that counts."""
    write_actions(tmp_path)
    change(tmp_path / TASKS, task=["an edited a", "b", "c"])
    assert Demonstrations(tmp_path).tasks[0] == "an edited a"


def test_rows_may_lie_in_any_order(tmp_path):
    write_actions(tmp_path)
    reorder(tmp_path / DATA, np.random.default_rng(0).permutation(9))
    assert Demonstrations(tmp_path).column("action")[:, 0].tolist() == list(range(9))


def test_episodes_may_lie_in_any_files(tmp_path):
    """Also in a table in another order than their numbers."""
    write_actions(tmp_path, data_megabytes=0)  # one file an episode
    first, last = tmp_path / DATA, tmp_path / DATA.replace("000.p", "002.p")
    os.rename(first, tmp_path / "aside")
    os.rename(last, first)
    os.rename(tmp_path / "aside", last)
    change(tmp_path / EPISODES, **{"data/file_index": [2, 1, 0]})
    reorder(tmp_path / EPISODES, [1, 2, 0])
    dataset = Demonstrations(tmp_path)
    assert dataset.column("action")[:, 0].tolist() == list(range(9))
    assert dataset.column("episode_index").tolist() == np.repeat([0, 1, 2], 3).tolist()


def test_episodes_need_not_follow_each_other_by_number(tmp_path):
    write_actions(tmp_path)
    change(tmp_path / EPISODES, episode_index=[4, 0, 7])
    change(tmp_path / DATA, episode_index=np.repeat([4, 0, 7], 3))
    dataset = Demonstrations(tmp_path)
    assert [record["episode_index"] for record in dataset.episodes] == [0, 4, 7]
    assert dataset.column("action")[:, 0].tolist() == [3, 4, 5, 0, 1, 2, 6, 7, 8]


def test_frames_follow_the_rows_where_a_clock_drifts(tmp_path):
    """As many frames as rows: each episode begins after the one before it, whatever its time stamp says."""
    root = tmp_path / "data"
    write(root, (3, 4, 5))
    os.remove(root / "meta/files.json")
    change(root / EPISODES, **{f"videos/{CAMERAS[0]}/from_timestamp": [0.0, 0.22, 0.41]})
    dataset = Demonstrations(root)
    assert [read_number(image) for image in dataset.frames(CAMERAS[0], np.arange(12))] == list(range(12))
    change(root / EPISODES, **{f"videos/{CAMERAS[0]}/from_timestamp": [0.0, 0.0, 0.0]})
    with pytest.raises(ValueError, match="12 frames, its episodes have 12 rows: which frame belongs"):
        Demonstrations(root)


def test_a_sound_data_set_stays_sound(tmp_path):
    write_actions(tmp_path)
    assert check_dataset(tmp_path) == []
