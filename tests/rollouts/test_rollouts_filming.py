"""Videos of failures, of finished episodes, and the commands that film one."""

from __future__ import annotations

import io
import re
import shlex
from dataclasses import replace
from html import unescape

import numpy as np
from rich.console import Console
from toy_helpers import SeekAgent

from playloop.cli.main import main
from playloop.core.episode import Episode
from playloop.core.ledger import read_lines
from playloop.core.results import EpisodeResult
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.evaluate import evaluate
from playloop.rollouts.store import read_results

CONFIG = ToyReachConfig(tasks=2, inits=5)


class Drifting(ToyReachConfig):
    """Declares that an episode does not repeat itself."""

    def contract(self):
        return replace(super().contract(), deterministic=False)


def run(out, videos, config=CONFIG, agent=None, inits=None, command="playloop eval env=toy"):
    console = Console(file=io.StringIO(), width=120)
    episodes = config.episodes(inits=inits)
    agent = agent or SeekAgent(noise=2.5)
    summary = evaluate(config, agent, episodes, out, 0, videos, {"seed": 0}, command, console)
    return summary, console.file.getvalue()


def videos(folder):
    return {path.name: path.read_bytes() for path in (folder / "videos").glob("*")}


def names(folder, *outcomes):
    results = read_results(folder)
    return {
        f"{r.episode.key}-{'success' if r.success else 'failure'}.mp4"
        for r in results
        if ("success" if r.success else "failure") in outcomes
    }


def test_failures_are_filmed_afterwards_and_are_the_same_videos(tmp_path):
    all_, _ = run(tmp_path / "all", "all")
    found, text = run(tmp_path / "failures", "failures")
    assert 0 < found["result"]["overall"]["successes"] < 10 and found["result"] == all_["result"]
    whole, failed = videos(tmp_path / "all"), videos(tmp_path / "failures")
    assert whole.keys() == names(tmp_path / "all", "success", "failure")
    assert failed.keys() == names(tmp_path / "failures", "failure") < whole.keys()
    assert all(failed[name] == whole[name] for name in failed)
    assert f"filming {len(failed)}/{len(failed)}" in text
    lines = read_lines(tmp_path / "failures" / "episodes.jsonl", EpisodeResult.from_json)
    assert len(lines) == 10 and not any(line.info["renders"] == line.steps for line in lines)
    agent = SeekAgent(noise=2.5)
    again, _ = run(tmp_path / "failures", "failures", agent=agent)
    assert again == found and agent.batches == []


def test_without_repetition_all_are_filmed_and_successes_dropped(tmp_path):
    _, text = run(tmp_path, "failures", Drifting(tasks=2, inits=5))
    assert videos(tmp_path).keys() == names(tmp_path, "failure") and "filming" not in text
    assert "does not repeat itself" not in (tmp_path / "report.html").read_text()  # all failures have one
    lines = read_results(tmp_path)
    assert all(line.info["renders"] == line.steps for line in lines)


def test_videos_may_be_asked_for_when_all_is_done(tmp_path):
    first, _ = run(tmp_path, "none")
    assert not (tmp_path / "videos").exists()
    second, _ = run(tmp_path, 1)
    assert second == first and len(videos(tmp_path)) == 2
    run(tmp_path, "all")
    assert videos(tmp_path).keys() == names(tmp_path, "success", "failure")
    assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == 10


class Moody(SeekAgent):
    """Each time it is asked it wants something else."""

    def act(self, carries, observations, rngs):
        self.mood = getattr(self, "mood", 0) + 1
        return super().act(carries, observations, [np.random.default_rng(self.mood) for _ in rngs])


def test_an_episode_that_ends_otherwise_has_no_video_and_is_named(tmp_path):
    _, text = run(tmp_path, "failures", agent=Moody(noise=2.5))
    failed = names(tmp_path, "failure")
    changed = re.findall(r"(\S+) ended otherwise when it was run again to be filmed", text)
    assert changed and {f"{key}-failure.mp4" for key in changed} | videos(tmp_path).keys() == failed
    agent = Moody(noise=2.5)
    agent.repeatable = False  # who says so is filmed at once
    _, text = run(tmp_path / "told", "failures", agent=agent)
    assert videos(tmp_path / "told").keys() == names(tmp_path / "told", "failure") and "otherwise" not in text


def test_every_failed_cell_leads_to_its_video_or_to_the_command_that_films_it(tmp_path, capsys):
    """The command is run as it stands, and films that failure."""
    out = tmp_path / "run"
    words = ["env=toy", "agent=random", "inits=2", "workers=0", "episodes=6", "videos=1"]
    assert main(["eval", *words, f"out={out}"]) == 0
    page = unescape((out / "report.html").read_text())
    failed = {r.episode.key for r in read_results(out) if not r.success}
    filmed = {name.removesuffix("-failure.mp4") for name in videos(out) if name.endswith("-failure.mp4")}
    assert filmed and failed - filmed
    cells = set(re.findall(r'<td class="failure"[^>]*>\s*<a href="([^"]+)"', page))
    assert cells == {f"videos/{key}-failure.mp4" for key in filmed} | {f"#{key}" for key in failed - filmed}
    shown = dict(re.findall(r'<li id="([^"]+)">(?:(?!</li>).)*<code>([^<]+)</code>', page, re.S))
    key = min(failed - filmed)
    assert shown.keys() == failed - filmed and main(shlex.split(shown[key])[1:]) == 0
    assert videos(tmp_path / "run-films").keys() == {f"{key}-failure.mp4"}
    all_of_them = next(line for line in re.findall(r"<pre[^>]*>([^<]+)</pre>", page) if "=failures" in line)
    assert main(shlex.split(all_of_them)[1:]) == 0
    assert {f"{key}-failure.mp4" for key in failed} <= videos(out).keys()
    assert "<code>" not in (out / "report.html").read_text()
    capsys.readouterr()


def test_a_call_in_python_is_told_in_words(tmp_path):
    run(tmp_path, "none", inits=1, command="playloop.evaluate(env=ToyReachConfig(…))")
    page = unescape((tmp_path / "report.html").read_text())
    assert "the same call with task=" in page and "videos='failures'" in page
    assert Episode("toy_reach", 0, 0).key in page
