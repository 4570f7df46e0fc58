"""Control arms: somebody without skill on the same episodes, in the same folder and report."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from toy_helpers import SeekAgent

from playloop.agents.hold import HoldAgentConfig
from playloop.core.episode import FRESH, Episode
from playloop.core.statistics import count_pairs, mcnemar_exact, paired_difference
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.compare import compare
from playloop.rollouts.control import other_start
from playloop.rollouts.driver import Driver
from playloop.rollouts.evaluate import evaluate
from playloop.rollouts.store import read_results

CONFIG = ToyReachConfig(tasks=2, inits=5)
ALL = ("random", "hold", "replay")


def run(out, controls=ALL, config=CONFIG, agent=None, inits=None):
    console = Console(file=io.StringIO(), width=120)
    episodes = config.episodes(inits=inits)
    agent = agent or SeekAgent(noise=1.0)
    summary = evaluate(
        config, agent, episodes, out, 0, "none", {"seed": 0}, "a command", console, controls=controls
    )
    return summary, console.file.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("controls")
    return out, *run(out)


def test_a_control_is_its_agent_on_the_same_episodes_and_differences_are_paired(finished):
    out, summary, text = finished
    plain = {result.episode: result for result in read_results(out)}
    for control in summary["result"]["controls"]:
        lines = {r.episode: r for r in read_results(out / f"control-{control['control']}")}
        assert lines.keys() == plain.keys() == set(CONFIG.episodes())
        pairs = count_pairs((plain[e].success, lines[e].success) for e in plain)
        found = control["difference"]
        assert (found["value"], found["low"], found["high"]) == paired_difference(pairs)
        assert found["p"] == mcnemar_exact(pairs.only_first, pairs.only_second)
        assert control["overall"]["successes"] == sum(line.success for line in lines.values())
        assert sum(task["difference"]["pairs"] for task in control["tasks"]) == found["pairs"] == 10
        assert compare(out, out / f"control-{control['control']}").overall == pairs
        assert f"all minus {control['control']}: " in text
    held = {r.episode: r for r in read_results(out / "control-hold")}
    for result in Driver(CONFIG, 0).run(HoldAgentConfig().make(), CONFIG.episodes()):
        assert (result.success, result.steps) == (held[result.episode].success, held[result.episode].steps)


def test_the_report_shows_controls_and_a_run_without_them_does_not(finished, tmp_path):
    page = (finished[0] / "report.html").read_text()
    assert "Against a control" in page and "repeated without looking" in page
    summary, text = run(tmp_path, ())
    assert "controls" not in summary["result"] and "minus" not in text
    assert "Against a control" not in (tmp_path / "report.html").read_text()
    without = {name: part for name, part in finished[1]["result"].items() if name != "controls"}
    assert without == summary["result"]
    assert (finished[0] / "config.json").read_bytes() == (tmp_path / "config.json").read_bytes()


def test_a_suite_that_succeeds_by_itself_is_seen(tmp_path):
    """Who keeps still is as good as the agent: the interval holds 0 and the report says that it is open."""
    summary, _ = run(tmp_path, ("hold",), agent=HoldAgentConfig().make())
    found = summary["result"]["controls"][0]["difference"]
    assert found["value"] == 0 and found["low"] < 0 < found["high"] and found["p"] == 1
    assert "It is open whether the agent is better" in (tmp_path / "report.html").read_text()


def test_replay_repeats_the_agent_s_actions_from_the_neighbour_s_start(finished):
    assert [other_start(e, CONFIG).init for e in CONFIG.episodes()[:5]] == [1, 0, 3, 2, 3]
    actions = finished[0] / "control-replay" / "actions"
    assert {path.stem for path in actions.iterdir()} == {e.key for e in CONFIG.episodes() if e.init != 4}
    steps = {result.episode: result.steps for result in read_results(finished[0])}
    for episode in CONFIG.episodes():
        if episode.init != 4:
            assert len(np.load(actions / f"{episode.key}.npz")["actions"]) == steps[episode]


def test_what_replay_repeats_depends_on_nothing_that_else_is_run(finished, tmp_path):
    """One initial state, its neighbour run for its actions alone; or asked for when all is done."""
    run(tmp_path / "few", ("replay",), inits=1)
    assert len(read_results(tmp_path / "few")) == 2
    run(tmp_path / "late", ())
    run(tmp_path / "late", ("replay",))
    whole = {r.episode: (r.success, r.steps) for r in read_results(finished[0] / "control-replay")}
    for name in ("few", "late"):
        for result in read_results(tmp_path / name / "control-replay"):
            assert (result.success, result.steps) == whole[result.episode]


def test_replay_wants_a_second_initial_state():
    for config, episode in (
        (replace(CONFIG, inits=1), Episode("toy_reach", 0, 0)),
        (CONFIG, Episode("toy_reach", 0, FRESH)),
    ):
        with pytest.raises(ValueError, match="has none; choose control=hold"):
            other_start(episode, config)


def test_controls_go_on_where_they_were_and_may_be_added(tmp_path):
    run(tmp_path, ("hold",), inits=2)
    first, _ = run(tmp_path, ("hold",))
    assert len((tmp_path / "control-hold" / "episodes.jsonl").read_text().splitlines()) == 10
    agent = SeekAgent(noise=1.0)
    again, text = run(tmp_path, ("hold",), agent=agent)
    assert again == first and agent.batches == [] and "control=hold: episodes" not in text
    more, _ = run(tmp_path, ("hold", "random"))
    assert [control["control"] for control in more["result"]["controls"]] == ["hold", "random"]
    assert more["run"]["sessions"] == first["run"]["sessions"]
    lines = tmp_path / "control-hold" / "config.json"
    lines.write_text(json.dumps(json.loads(lines.read_text()) | {"control": "random"}))
    with pytest.raises(ValueError, match="control: it was random, now it is hold"):
        run(tmp_path, ("hold",))


def test_errors_of_a_control_make_no_pairs(tmp_path):
    class Falls(SeekAgent):
        def begin(self, episode):
            if episode.init == 1:
                raise OSError("the arm is unplugged")
            return super().begin(episode)

    summary, text = run(tmp_path, ("replay",), agent=Falls(noise=1.0))
    [control] = summary["result"]["controls"]
    assert control["overall"]["errors"] == 2 and control["overall"]["episodes"] == 8
    assert control["difference"]["pairs"] == 6  # the agent's errors and those whose actions are not there
    assert "no actions are recorded for toy_reach-task00-init001-seed0" in " ".join(text.split())
    assert "points, p = 0.031, 2 errors" in text
