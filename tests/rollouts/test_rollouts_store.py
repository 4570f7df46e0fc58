"""The record on disk: what a kill leaves, what a repeat accepts."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from playloop.core.episode import FRESH, Episode
from playloop.core.formats import FORMAT
from playloop.core.ledger import differences
from playloop.core.locks import FolderLock
from playloop.core.results import EpisodeResult
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


def test_an_error_about_a_path_that_is_no_text_is_written_and_read(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0], False, "there is no file " + os.fsdecode(b"runs/\xff.png")))
    store.close()
    [found] = read_results(tmp_path)
    assert found.error == "there is no file runs/\ufffd.png"


def test_every_torn_tail_is_cut_and_its_episode_runs_again(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0]))
    first = (store.folder / "episodes.jsonl").stat().st_size
    store.append(result(EPISODES[1]))
    store.close()
    whole = (store.folder / "episodes.jsonl").read_bytes()
    for size in (first + 1, *range(first + 8, len(whole) - 1, 16), len(whole) - 1):
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
    assert json.loads((tmp_path / "config.json").read_text()) == {"format": FORMAT} | CONFIG
    assert differences({"a": {}}, {"a": {}}) == []


def test_two_runs_cannot_write_to_one_folder(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    with pytest.raises(BlockingIOError, match=r"written by a run of playloop \(process \d+ .*out=…"):
        EpisodeStore(tmp_path, CONFIG)
    store.close()
    with FolderLock(tmp_path, "a recording") as lock:  # who holds the folder may open and close ledgers in it
        EpisodeStore(tmp_path, CONFIG, lock).close()
        with pytest.raises(BlockingIOError, match="a recording"):
            EpisodeStore(tmp_path, CONFIG)
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


LINE = result(EPISODES[1]).to_json()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"suite": 3}', "suite=3: use text"),
        (b'{"suite": ', "damaged"),
        (b"[]", "use a mapping"),
        (b"null", "use a mapping"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "damaged"),
        (json.dumps(LINE | {"return": float("nan")}).encode(), "NaN or infinite"),
        (json.dumps(LINE | {"task": "0"}).encode(), "task='0': use a whole number"),
        (json.dumps(LINE | {"success": None}).encode(), "success"),
        (json.dumps(LINE | {"seconds": 3}).encode(), "seconds"),
        (json.dumps(LINE | {"info": []}).encode(), "info"),
        (json.dumps({k: v for k, v in LINE.items() if k != "steps"}).encode(), "steps is missing"),
    ],
)
def test_a_damaged_line_is_named_whatever_is_wrong_with_it(tmp_path, line, says):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0]))
    store.close()
    with (tmp_path / "episodes.jsonl").open("ab") as file:
        file.write(line + b"\n")
    for read in (lambda: EpisodeStore(tmp_path, CONFIG), lambda: read_results(tmp_path)):
        with pytest.raises(ValueError, match=rf"episodes.jsonl:2\b.*{says}"):
            read()
    with FolderLock(tmp_path, "nobody else"):  # it was given back
        pass


def test_where_nothing_was_recorded_the_verb_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="playloop eval"):
        read_results(tmp_path / "nothing")


def test_lines_stay_with_their_configuration_when_its_file_is_lost_or_changed(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0]))
    store.close()
    other, config = CONFIG | {"seed": 8}, tmp_path / "config.json"
    config.unlink()
    with pytest.raises(ValueError, match=r"1 lines of another configuration and config.json is missing"):
        EpisodeStore(tmp_path, other)
    assert not config.exists()
    config.write_text(json.dumps({"format": FORMAT} | other))
    for read in (lambda: EpisodeStore(tmp_path, other), lambda: read_results(tmp_path)):
        with pytest.raises(ValueError, match=r"episodes.jsonl:1 was written under another configuration"):
            read()
    config.unlink()
    again = EpisodeStore(tmp_path, CONFIG | {"seed": 7.0})  # the same number: the file is made anew
    assert again.done() == {EPISODES[0]} and json.loads(config.read_text())["seed"] == 7.0
    again.close()


def test_a_ledger_of_an_older_version_is_read_and_not_continued(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    old = {name: value for name, value in LINE.items() if name != "fault"}
    (tmp_path / "episodes.jsonl").write_text(json.dumps(old) + "\n")
    assert [line.episode for line in read_results(tmp_path)] == [EPISODES[1]]
    with pytest.raises(ValueError, match=r"config\.json has the format 1 .*; give another folder with out="):
        EpisodeStore(tmp_path, CONFIG)
    assert json.loads(config.read_text()) == CONFIG
    config.unlink()
    assert len(read_results(tmp_path)) == 1
    with pytest.raises(ValueError, match="nobody can tell what they belong to"):
        EpisodeStore(tmp_path, CONFIG)


def test_a_ledger_of_a_newer_version_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"format": FORMAT + 1} | CONFIG))
    (tmp_path / "episodes.jsonl").write_text(json.dumps(LINE) + "\n")
    for read in (lambda: EpisodeStore(tmp_path, CONFIG), lambda: read_results(tmp_path)):
        with pytest.raises(ValueError, match=rf"config\.json has the format {FORMAT + 1}, .*; install the"):
            read()


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0]))
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    with pytest.raises(OSError, match="free some space"):
        store.append(result(EPISODES[1]))
    monkeypatch.undo()
    store.append(result(EPISODES[1]))
    store.close()
    assert len(read_results(tmp_path)) == 2


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "version https://git-lfs.github.com/spec/v1\n"])
def test_a_damaged_configuration_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config.json "):
        EpisodeStore(tmp_path, CONFIG)


def test_what_editors_leave_around_the_lines_is_no_damage(tmp_path):
    store = EpisodeStore(tmp_path, CONFIG)
    store.append(result(EPISODES[0]))
    store.close()
    path = tmp_path / "episodes.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\n")
    again = EpisodeStore(tmp_path, CONFIG)
    again.append(result(EPISODES[1]))
    again.close()
    assert read_results(tmp_path) == [result(episode) for episode in EPISODES]
    assert again.notes == []
