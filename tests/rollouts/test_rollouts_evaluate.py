"""The whole of `playloop eval` on the toy: files, resume after kill, refusals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from toy_helpers import SeekAgent

from playloop.core.contract import CONVENTIONS
from playloop.core.statistics import Pairs, mcnemar_exact, wilson
from playloop.envs.toy import ToyFault, ToyReach, ToyReachConfig
from playloop.rollouts.compare import compare, read_contract
from playloop.rollouts.evaluate import evaluate
from playloop.rollouts.report import write_report
from playloop.rollouts.store import read_results

HERE = Path(__file__).parent
CONFIG = ToyReachConfig(tasks=3, inits=5)
SETTINGS = {"env": {"name": "toy"}, "seed": 0, "workers": 2, "inits": 5}


def run(out, config=CONFIG, agent=None, inits=None, settings=SETTINGS, videos="none", workers=0):
    console = Console(file=io.StringIO(), width=120)
    episodes = config.episodes(inits=inits)
    agent = agent or SeekAgent()
    summary = evaluate(config, agent, episodes, out, workers, videos, settings, "playloop eval <x>", console)
    return summary, console.file.getvalue()


def frames(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 10
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return out, *run(out, videos=1)


def test_the_summary_counts_what_the_lines_say(finished):
    out, summary, text = finished
    lines = read_results(out)
    assert [line.episode for line in lines] == CONFIG.episodes()
    overall = summary["result"]["overall"]
    successes = sum(line.success for line in lines)
    assert (overall["episodes"], overall["successes"], overall["errors"]) == (15, successes, 0)
    assert overall["wilson95"] == list(wilson(successes, 15))
    assert overall["mean_steps"] == sum(line.steps for line in lines) / 15
    for task in summary["result"]["tasks"]:
        mine = [line for line in lines if line.episode.task == task["task"]]
        assert (task["episodes"], task["successes"]) == (5, sum(line.success for line in mine))
        assert task["instruction"] == CONFIG.task_names()[task["task"]]
    assert json.loads((out / "summary.json").read_text()) == summary
    assert "reach the red square" in text and "15/15" in text


def test_the_summary_says_with_what_it_was_made(finished):
    run = finished[1]["run"]
    assert run["provenance"]["command"] == "playloop eval <x>"
    assert {"python", "numpy", "gymnasium", "playloop"} <= run["provenance"]["versions"].keys()
    assert run["provenance"]["hardware"]["cores"] >= 1
    assert run["config"] == SETTINGS
    assert (run["agent"], run["environment"]) == ("toy_helpers.SeekAgent", "toy")
    assert run["sessions"][0]["episodes"] == 15
    assert finished[1]["result"]["contract"] == json.loads(json.dumps(CONFIG.contract().to_json()))


def test_the_lines_and_the_report_name_who_acted(finished):
    """The lines on disk alone tell it; what follows from the episodes is what it was."""
    out, summary, _ = finished
    assert {line.agent for line in read_results(out)} == {"toy_helpers.SeekAgent"}
    assert not any("agent" in line for line in summary["result"]["episodes"])
    assert "agent toy_helpers.SeekAgent · environment toy · protocol" in (out / "report.html").read_text()


def test_lines_of_an_older_version_are_continued(finished, tmp_path):
    lines = [json.loads(line) for line in (finished[0] / "episodes.jsonl").read_text().splitlines()]
    old = [{name: value for name, value in line.items() if name != "agent"} for line in lines[:-1]]
    shutil.copy(finished[0] / "config.json", tmp_path)
    (tmp_path / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    summary, _ = run(tmp_path, videos=1)
    assert summary["run"]["sessions"][0]["episodes"] == 1
    assert summary["result"] == finished[1]["result"]
    assert Counter(line.agent for line in read_results(tmp_path)) == {None: 14, "toy_helpers.SeekAgent": 1}


def test_videos_show_every_step_of_the_chosen_episodes(finished):
    out = finished[0]
    results = {line.episode: line for line in read_results(out)}
    chosen = [episode for episode in CONFIG.episodes() if episode.init == 0]
    names = [f"{e.key}-{'success' if results[e].success else 'failure'}.mp4" for e in chosen]
    assert sorted(path.name for path in (out / "videos").iterdir()) == names
    for episode, name in zip(chosen, names, strict=True):
        video = frames(out / "videos" / name)
        assert len(video) == results[episode].steps + 1
        env = ToyReach(CONFIG)
        env.begin(episode)
        first = env.observe()["images"]["top"].repeat(4, 0).repeat(4, 1)
        assert video[0].shape == (256, 512, 3)
        assert np.abs(video[0][:, :256].astype(int) - first).mean() < 4  # lossy, but this picture


def test_the_report_is_whole_and_needs_nothing_else(finished):
    out, summary, _ = finished
    page = (out / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    assert page.count('<td class="success"') == summary["result"]["overall"]["successes"]
    assert page.count("<td class=") == 15
    assert page.count("data:image/jpeg;base64,") == 3 and page.count("data:image/png;base64,") == 1
    assert "playloop eval &lt;x&gt;" in page and "playloop eval <x>" not in page
    assert f"{100 * summary['result']['overall']['rate']:.1f}<small> %" in page


def test_names_are_never_markup(finished, tmp_path):
    evil = '<script>alert("1")</script>'
    summary = json.loads(json.dumps(finished[1]))
    for task in summary["result"]["tasks"]:
        task["instruction"] = evil
    summary["result"]["contract"]["protocol"] = summary["run"]["agent"] = evil
    summary["result"]["episodes"][0]["error"] = f'{evil}" onclick="x'
    summary["run"]["config"]["note"] = evil
    shutil.copytree(finished[0] / "videos", tmp_path / "videos")
    page = write_report(tmp_path, summary).read_text()
    assert page.count("&lt;script&gt;") > 9 and "<script" not in page and 'onclick="' not in page


def test_the_first_observation_is_what_the_agent_saw(finished):
    env = ToyReach(CONFIG)
    env.begin(CONFIG.episodes()[0])
    picture = np.asarray(Image.open(finished[0] / "first_observation.png"))
    assert picture.shape == (64, 132, 3)
    assert np.array_equal(picture[:, :64], env.observe()["images"]["top"])
    assert np.array_equal(picture[:, 68:], env.observe()["images"]["hand"])


def test_a_repeat_runs_nothing_and_changes_nothing(finished, tmp_path):
    out, summary, _ = finished
    agent = SeekAgent()
    lines = (out / "episodes.jsonl").read_bytes()
    again, _ = run(out, agent=agent, videos=1)
    assert agent.batches == [] and again == summary
    assert (out / "episodes.jsonl").read_bytes() == lines


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"run": 3}', '{"run": {"sessions": 1, "provenance": {}}}', "\\xff"]
)
def test_a_damaged_summary_is_named_before_anything_runs(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    agent = SeekAgent()
    with pytest.raises(ValueError, match=r"summary.json.*delete it and repeat"):
        run(tmp_path, agent=agent, inits=1)
    assert agent.batches == []
    (tmp_path / "summary.json").unlink()
    assert run(tmp_path, agent=agent, inits=1)[0]["result"]["overall"]["episodes"] == 3


def test_a_run_of_nothing_but_errors_says_each_reason_once(tmp_path):
    class Fails(SeekAgent):
        def act(self, carries, observations, rngs):
            raise KeyError("no such thing")

    summary, text = run(tmp_path, agent=Fails(), inits=1)
    results = read_results(tmp_path)
    assert [r.fault for r in results] == ["agent"] * 3 and summary["result"]["overall"]["errors"] == 3
    assert text.count("no such thing") == 1 and text.count("for the reason of") == 2
    again, _ = run(tmp_path, inits=1)  # errors are not done
    assert again["result"]["overall"]["errors"] == 0


def test_a_killed_evaluation_continues_to_the_same_result(tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.wait(60) == 0
    kills = [kill_at(tmp_path / "broken", lines) for lines in (0, 6)]
    assert any(0 < lines < 15 for lines in kills), kills
    assert start(tmp_path / "broken").wait(60) == 0
    left, right = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "broken"))
    assert left["result"] == right["result"]
    assert listing(tmp_path / "whole") == listing(tmp_path / "broken")
    assert len((tmp_path / "broken" / "episodes.jsonl").read_text().splitlines()) == 15


def kill_at(out, lines):
    """Kill a moment after the folder has so many lines; returns how many it has then."""
    process, file = start(out), out / "episodes.jsonl"
    while process.poll() is None and count(file) < lines:
        time.sleep(0.002)
    time.sleep(0.3 * random.Random().random())  # any moment will do
    process.send_signal(signal.SIGKILL)
    process.wait()
    return count(file)


def count(file):
    return file.read_bytes().count(b"\n") if file.exists() else 0


def start(out):
    return subprocess.Popen(
        [sys.executable, str(HERE / "eval_toy.py"), str(out), "2"], stderr=subprocess.DEVNULL
    )


def listing(folder):
    """Names of the finished files, and the videos' contents."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return [
        (path.relative_to(folder), path.read_bytes() if path.suffix == ".mp4" else None) for path in found
    ]


def test_ctrl_c_ends_quietly_and_leaves_no_process(tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(HERE / "eval_toy.py"), str(tmp_path), "2"],
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    lines = tmp_path / "episodes.jsonl"
    while not (lines.exists() and lines.stat().st_size):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal does
    _, errors = process.communicate(timeout=20)
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 5  # multiprocessing's own tracker ends a moment after us
    while (left := living(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_environments_that_hang_end_with_a_killed_run(tmp_path):
    runs = {}
    for where in ("make", "begin", "advance"):
        folder = tmp_path / where
        folder.mkdir()
        words = [sys.executable, str(HERE / "hanging_toy.py"), str(folder), where]
        runs[folder] = subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True)
    for folder, process in runs.items():
        while len(list(folder.glob("pid*"))) < 2:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM if folder.name == "begin" else signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 60
    while (left := [name for process in runs.values() for name in living(process.pid)]) != []:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def living(session):
    """Processes of a session that have not ended."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, fields = status.read_text().rsplit(")", 1)
            state, _, _, its_session, *_ = fields.split()
            if int(its_session) == session and state != "Z":
                found.append(name)
    return found


def test_errors_are_apart_and_run_again_when_repeated(tmp_path):
    counter = tmp_path / "left"
    counter.write_text("2")
    broken = CONFIG.episodes()[3]
    faulty = replace(CONFIG, fault=ToyFault(broken.key, "raise", str(counter)))
    first, text = run(tmp_path / "out", config=faulty)
    assert (first["result"]["overall"]["episodes"], first["result"]["overall"]["errors"]) == (14, 1)
    assert "the toy broke down" in text and 'class="error"' in (tmp_path / "out" / "report.html").read_text()
    second, _ = run(tmp_path / "out", config=faulty)
    clean, _ = run(tmp_path / "clean")
    assert second["result"] == clean["result"]
    assert [session["episodes"] for session in second["run"]["sessions"]] == [15, 1]


def test_more_episodes_may_be_asked_for_and_other_settings_may_not(tmp_path):
    small, _ = run(tmp_path, inits=2)
    assert small["result"]["asked"] == 6
    large, _ = run(tmp_path, settings={**SETTINGS, "inits": 5, "workers": 9})
    assert large["result"]["overall"]["episodes"] == 15
    with pytest.raises(ValueError, match="seed: it was 0, now it is 1"):
        run(tmp_path, settings={**SETTINGS, "seed": 1})
    with pytest.raises(ValueError, match=r"contract.protocol: it was standard, now it is horizon=30"):
        run(tmp_path, config=Short(tasks=3, horizon=30))


class Short(ToyReachConfig):
    def contract(self):
        return replace(super().contract(), protocol=f"horizon={self.horizon}")


def test_an_agent_that_does_not_fit_leaves_no_folder(tmp_path):
    class Stranger(SeekAgent):
        def prepare(self, contract):
            raise ValueError("another arm")

    with pytest.raises(ValueError, match="another arm"):
        run(tmp_path / "out", agent=Stranger())
    with pytest.raises(ValueError, match="name no episode"):
        run(tmp_path / "out", videos=["nonsense"])
    assert not (tmp_path / "out").exists()


def test_compare_pairs_the_shared_episodes(finished, tmp_path):
    run(tmp_path / "noisy", agent=SeekAgent(noise=3.0), inits=4, settings={"noise": 3})
    comparison = compare(finished[0], tmp_path / "noisy")
    left = {r.episode: r.success for r in read_results(finished[0])}
    right = {r.episode: r.success for r in read_results(tmp_path / "noisy")}
    pairs = [(left[episode], right[episode]) for episode in right]
    counts = comparison.overall
    assert counts.total == 12 and comparison.unpaired == (3, 0)
    expected = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
    assert counts == Pairs(*expected)
    assert sum(task.only_first for task in comparison.tasks.values()) == counts.only_first > 0
    assert f"p = {mcnemar_exact(counts.only_first, counts.only_second):.4g}" in str(comparison)


def test_compare_refuses_what_makes_no_pairs(finished, tmp_path):
    seeded = [replace(episode, seed=3) for episode in CONFIG.episodes()[:1]]
    console = Console(file=io.StringIO())
    evaluate(CONFIG, SeekAgent(), seeded, tmp_path / "seed", 0, console=console)
    with pytest.raises(ValueError, match="share no judged episode"):
        compare(finished[0], tmp_path / "seed")
    run(tmp_path / "short", config=Short(tasks=1, inits=1, horizon=30))
    with pytest.raises(ValueError, match=r"one protocol:\n") as caught:
        compare(finished[0], tmp_path / "short")
    assert str(caught.value).splitlines()[1:] == ["  protocol: standard in A, horizon=30 in B"]
    with pytest.raises(FileNotFoundError, match="playloop eval"):
        compare(finished[0], tmp_path / "nowhere")


def test_an_older_evaluation_is_judged_alike_if_its_sentences_mean_the_same(tmp_path):
    contract = CONFIG.contract().to_json()
    older = {name: value for name, value in contract.items() if name not in CONVENTIONS} | {
        "action": "velocity of the point in table widths, 0.05 a step at full scale",
        "image_convention": "upright: y grows downwards, as rows do",
        "success_rule": "the point is within 0.06 of its square after an action",
    }
    (tmp_path / "config.json").write_text(json.dumps({"contract": older}))
    assert read_contract(tmp_path) == json.loads(json.dumps(contract))
