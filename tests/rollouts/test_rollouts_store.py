"""The record on disk: what a kill leaves, what a repeat accepts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from playloop.envs.episode import FRESH, Episode
from playloop.rollouts.differences import differences
from playloop.rollouts.record import EpisodeResult
from playloop.rollouts.store import EpisodeStore, read_results

EPISODES = [Episode("suite", 0, 1, 7), Episode("suite", 1, FRESH, 7)]
CONFIG = {"env": {"suite": "suite", "size": 256}, "seed": 7}


def result(episode, success=True, error=None):
    return EpisodeResult(episode, success, 12, 1.5, error, {"wall": 0.25}, 3, 2, {"note": "ü\n"})


def test_a_result_survives_the_file(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    for episode in EPISODES:
        store.append(result(episode))
    store.close()
    again = EpisodeStore(tmp_path, CONFIG)
    assert again.results() == {episode: result(episode) for episode in EPISODES}
    assert again.done() == set(EPISODES) and again.notes == []
    assert read_results(tmp_path) == [result(episode) for episode in EPISODES]
    again.close()


def test_every_torn_tail_is_cut_and_its_episode_runs_again(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0]))
    first = (store.folder / "episodes.jsonl").stat().st_size
    store.append(result(EPISODES[1]))
    store.close()
    whole = (store.folder / "episodes.jsonl").read_bytes()
    for size in range(first + 1, len(whole)):
        (store.folder / "episodes.jsonl").write_bytes(whole[:size])
        torn = EpisodeStore(tmp_path, CONFIG)
        assert torn.done() == {EPISODES[0]} and len(torn.notes) == 1
        torn.append(result(EPISODES[1]))
        torn.close()
        assert (store.folder / "episodes.jsonl").read_bytes() == whole


def test_an_error_is_not_done_and_the_last_line_counts(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0], success=False, error="crash"))
    assert store.done() == set()
    store.append(result(EPISODES[0]))
    assert store.done() == {EPISODES[0]}
    store.close()
    assert read_results(tmp_path) == [result(EPISODES[0])]
    assert len((store.folder / "episodes.jsonl").read_text().splitlines()) == 2


def test_another_configuration_is_refused_by_the_names_of_its_keys(tmp_path):
    EpisodeStore(tmp_path, CONFIG).close()
    changed = {"env": {"suite": "suite", "size": 128}, "extra": True, "seed": 7}
    says = r"env.size: it was 256, now it is 128; extra: it was \(absent\), now it is True.*out=… or delete"
    with pytest.raises(ValueError, match=says):
        EpisodeStore(tmp_path, changed)
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG
    assert differences({"a": {}}, {"a": {}}) == []


def test_two_runs_cannot_write_to_one_folder(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    with pytest.raises(BlockingIOError, match="another run"):
        EpisodeStore(tmp_path, CONFIG)
    store.close()
    EpisodeStore(tmp_path, CONFIG).close()


def test_numpy_in_the_info_becomes_plain_and_nonsense_is_refused(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    fine = result(EPISODES[0])
    fine.info = {"distance": np.float32(0.5), "held": np.bool_(True), "place": np.arange(2)}
    store.append(fine)
    assert read_results(tmp_path)[0].info == {"distance": 0.5, "held": True, "place": [0, 1]}
    fine.info = {"what": object()}
    with pytest.raises(TypeError, match="JSON cannot"):
        store.append(fine)
    store.close()


def test_a_damaged_line_is_named(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0]))
    store.close()
    (store.folder / "episodes.jsonl").write_text(
        (store.folder / "episodes.jsonl").read_text() + '{"suite": 3}\n'
    )
    with pytest.raises(ValueError, match=r"episodes.jsonl:2 is damaged"):
        EpisodeStore(tmp_path, CONFIG)
    with pytest.raises(FileNotFoundError, match="playloop eval"):
        read_results(tmp_path / "nothing")
