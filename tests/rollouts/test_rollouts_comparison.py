"""Evaluations side by side: two as a text, several with corrected tests, and the page of both."""

from __future__ import annotations

import re
import shlex
from html import unescape

import pytest

from playloop.cli.main import main
from playloop.core.statistics import holm, mcnemar_exact, paired_difference
from playloop.rollouts.compare import compare
from playloop.rollouts.store import read_results

RUNS = {
    "expert": ["agent=expert", "inits=5", "videos=1"],
    "random": ["agent=random", "inits=4", "videos=none"],
    "hold": ["agent=hold", "inits=5", "videos=all"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare")
    for name, words in RUNS.items():
        assert main(["eval", "env=toy", "workers=0", *words, f"out={root / name}"]) == 0
    return root


def words(root, *names):
    return [str(root / name) for name in names]


def test_several_are_compared_on_the_episodes_that_all_have(runs, capsys):
    assert main(["compare", *words(runs, "expert", "random", "hold")]) == 0
    text = capsys.readouterr().out
    found = compare(*(runs / name for name in RUNS))
    judged = [{r.episode: r.success for r in read_results(runs / name)} for name in RUNS]
    assert len(found.results) == 16 and found.unpaired == (4, 0, 4) and found.errors == (0, 0, 0)
    ps = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        pairs = found.pairs(first, second)
        outcomes = [(judged[first][e], judged[second][e]) for e in found.results]
        assert pairs.only_first == outcomes.count((True, False))
        assert pairs.only_second == outcomes.count((False, True)) and pairs.total == 16
        ps.append(mcnemar_exact(pairs.only_first, pairs.only_second))
        value, low, high = (100 * number for number in paired_difference(pairs))
        assert f"{value:+.1f} [{low:+.1f}, {high:+.1f}]" in text
    assert list(found.tests().values()) == holm(ps)
    assert "left out: 4 episodes not shared in A, 0 not shared in B, 4 not shared in C" in text
    assert set(found.differing()) == {e for e in found.results if len({run[e] for run in judged}) == 2}


def test_holm_never_says_less_than_one_test_and_keeps_the_order():
    ps = [0.04, 0.001, 0.5, 0.012]
    corrected = holm(ps)
    assert corrected == pytest.approx([0.08, 0.004, 0.5, 0.036])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_the_page_shows_pairs_tasks_and_where_they_differ(runs, capsys):
    page = runs / "pages" / "three.html"
    assert main(["compare", *words(runs, "expert", "random", "hold"), f"out={page}"]) == 0
    assert f"Page: {page}" in capsys.readouterr().out
    html = page.read_text()
    found = compare(*(runs / name for name in RUNS))
    assert html.count('<section class="episode">') == len(found.differing()) > 10
    assert (
        html.count('<td class="same">') == 3
        and html.count('class="better"') == html.count('class="worse"') == 2
    )
    links = re.findall(r'<a href="(\.\./[^"]+mp4)"', html)
    assert links and all((page.parent / link).is_file() for link in links)
    assert html.count("data:image/jpeg;base64,") == len(links)
    assert "http" not in html and "<script" not in html


def test_its_commands_film_what_it_misses(runs, capsys):
    page = runs / "two.html"
    assert main(["compare", *words(runs, "expert", "random"), f"out={page}"]) == 0
    html = unescape(page.read_text())
    assert html.count("no video") > 10 and "points</small>" in html
    commands = re.findall(r'<pre class="wrap">(playloop eval[^<]+)</pre>', html)
    assert len(commands) == 2
    lines = [(runs / name / "episodes.jsonl").read_bytes() for name in ("expert", "random")]
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0
    assert main(["compare", *words(runs, "expert", "random"), f"out={page}"]) == 0
    html = page.read_text()
    assert "no video" not in html and "<details><summary>A: film" not in html
    assert lines == [(runs / name / "episodes.jsonl").read_bytes() for name in ("expert", "random")]
    capsys.readouterr()


def test_equal_runs_differ_nowhere(runs, capsys):
    page = runs / "same"
    assert main(["compare", *words(runs, "hold", "hold"), f"out={page}"]) == 0
    html = (page / "comparison.html").read_text()
    assert "Every episode ended alike." in html and "which is better is open" in html
    capsys.readouterr()


def test_what_cannot_be_compared_is_told_by_letter(runs, tmp_path, capsys):
    assert (
        main(["eval", "env=toy", "agent=hold", "seed=3", "workers=0", "inits=1", f"out={tmp_path / 'x'}"])
        == 0
    )
    assert main(["compare", *words(runs, "hold", "random"), str(tmp_path / "x")]) == 2
    assert "share no judged episode" in capsys.readouterr().err
    assert main(["compare", *words(runs, "hold")]) == 2
    assert "give two folders, not 1" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert main(["compare", *words(runs, "hold", "random"), f"out={tmp_path / 'file' / 'x.html'}"]) == 2
    assert "is a file; name a new folder" in capsys.readouterr().err
