"""Shards of an evaluation, and the whole that they join to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from playloop.cli.main import main
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.shards import Shard, deal
from playloop.rollouts.video import choose_videos

RUN = ["eval", "env=toy", "agent=random", "inits=3", "workers=0", "videos=1", "control=[hold,replay]"]
COUNT = 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    assert main([*RUN, f"out={root / 'whole'}"]) == 0
    for number in range(1, COUNT + 1):
        assert main([*RUN, f"shard={number}/{COUNT}", f"out={root / str(number)}"]) == 0
    return root


def folders(root):
    return [str(root / str(number)) for number in range(1, COUNT + 1)]


def lines(folder):
    """Without what a clock tells."""
    text = (folder / "episodes.jsonl").read_text()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()]


def files(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_shards_are_disjoint_whole_and_even_whatever_the_order():
    episodes = ToyReachConfig().episodes()
    for count in (1, 3, 7, 20):
        dealt = [Shard(number, count).of(episodes) for number in range(1, count + 1)]
        assert sorted(episode for shard in dealt for episode in shard) == sorted(episodes)
        assert {len(shard) for shard in dealt} <= {20 // count, -(-20 // count)}
        assert dealt == [Shard(number, count).of(episodes[::-1]) for number in range(1, count + 1)]


def test_videos_of_all_shards_are_those_of_the_whole():
    episodes = ToyReachConfig().episodes()
    for videos in (2, "all", "none", "failures", [episodes[3].key, episodes[4].key]):
        found = set()
        for number in range(1, 6):
            mine, chosen = deal(episodes, f"{number}/5", videos)
            found |= choose_videos(mine, chosen)
        assert found == choose_videos(episodes, videos)


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/0", "a/b", "-1/2", "1/4/2"])
def test_what_is_no_shard_is_told(text, capsys):
    assert main(["eval", "env=toy", "agent=random", f"shard={text}"]) == 2
    assert "with i from 1 to n: shard=1/4" in capsys.readouterr().err
    assert main(["eval", "env=toy", "agent=random", "inits=1", "shard=5/5"]) == 2
    assert "shard=5/5 has no episode, for there are 4; make fewer shards" in capsys.readouterr().err


def test_joined_shards_are_the_whole(runs, capsys):
    joined, whole = runs / "joined", runs / "whole"
    assert main(["join", *folders(runs)[::-1], f"out={joined}"]) == 0
    assert "joined of 4 shards" in capsys.readouterr().out
    for arm in ("", "control-hold", "control-replay"):
        assert lines(joined / arm) == lines(whole / arm)
    left, right = (json.loads((folder / "summary.json").read_text()) for folder in (joined, whole))
    assert left["result"] == right["result"]
    differ = {name for name, data in files(joined).items() if files(whole).get(name) != data}
    assert files(joined).keys() == files(whole).keys()
    timed = {"episodes.jsonl", "control-hold/episodes.jsonl", "control-replay/episodes.jsonl"}
    assert differ <= {"summary.json", "report.html", *timed}
    assert [one["command"].split()[-2] for one in left["run"]["joined"]] == [
        f"shard={n}/4" for n in (1, 2, 3, 4)
    ]
    assert [session["episodes"] for session in left["run"]["sessions"]] == [3, 3, 3, 3]
    before = files(joined)
    assert main([*RUN, f"out={joined}"]) == 0  # goes on there, and nothing is missing
    after = files(joined)
    assert all(after[name] == before[name] for name in before if name != "report.html")


def test_what_makes_no_whole_is_refused_in_one_sentence(runs, tmp_path, capsys):
    first, second, third, fourth = folders(runs)
    others = {
        "of five": ["shard=1/5"],
        "inits": ["shard=4/4", "inits=2"],
        "settings": ["shard=4/4", "env.horizon=9"],
        "arms": ["shard=4/4", "control=null"],
    }
    for name, words in others.items():
        assert main([*RUN, *words, f"out={tmp_path / name}"]) == 0
    (tmp_path / "killed").mkdir()
    shutil.copy(f"{fourth}/episodes.jsonl", tmp_path / "killed")
    copied = shutil.copytree(fourth, tmp_path / "short")
    summary = json.loads((copied / "summary.json").read_text())
    summary["result"]["episodes"].pop()
    (copied / "summary.json").write_text(json.dumps(summary))
    capsys.readouterr()
    for words, said in (
        ([], "give the folders of all shards"),
        ([first, second, fourth], "shard 3/4 is missing"),
        ([first, second, second, third, fourth], "are both shard 2/4"),
        ([first, second, third, tmp_path / "of five"], "is shard 1/4 and "),
        ([first, second, third, tmp_path / "inits"], "selection.inits: it was 3, now it is 2"),
        ([first, second, third, tmp_path / "settings"], "config.env.horizon: it was 40, now it is 9"),
        ([first, second, third, tmp_path / "arms"], "control: it was ['hold', 'replay'], now it is []"),
        ([first, second, third, runs / "whole"], "is a whole evaluation and no shard"),
        ([first, second, third, tmp_path / "killed"], "was not run to its end"),
        ([first, second, third, copied], "has 2 of its 3 episodes; repeat its command first"),
        ([first, second, third, tmp_path / "nowhere"], "has no episodes.jsonl"),
        ([first, second, third, fourth, f"out={first}"], "holds an evaluation already"),
    ):
        out = [] if any(str(word).startswith("out=") for word in words) else [f"out={tmp_path / 'joined'}"]
        assert main(["join", *map(str, words), *out]) == 2, words
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
        assert not (tmp_path / "joined").exists()


def test_a_folder_that_holds_another_shard_s_episodes_is_refused(runs, tmp_path, capsys):
    """As edited or copied ones might: twice the same, or dealt in another way."""
    first, second, *rest = map(Path, folders(runs))
    for others in ((first, first), (second, first)):
        shutil.rmtree(tmp_path, ignore_errors=True)
        relabelled = [shutil.copytree(folder, tmp_path / str(n)) for n, folder in enumerate(others, 1)]
        for number, folder in enumerate(relabelled, 1):
            summary = json.loads((folder / "summary.json").read_text())
            summary["run"]["config"]["shard"] = f"{number}/4"
            (folder / "summary.json").write_text(json.dumps(summary))
        assert main(["join", *map(str, [*relabelled, *rest]), f"out={tmp_path / 'joined'}"]) == 2
        said = "is in" if others[0] == others[1] else "has other episodes than shard 1/4 has of all"
        assert said in capsys.readouterr().err
