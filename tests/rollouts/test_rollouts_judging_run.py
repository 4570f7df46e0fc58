"""`playloop eval world=…`, whole: a tiny world on a tiny recording that it was not trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_world import SIZE, WORLD, record_explorer

from playloop.cli.main import main
from playloop.rollouts.judging.clips import Recordings
from playloop.rollouts.judging.config import WorldEvaluationConfig
from playloop.rollouts.judging.dream import Dreamer
from playloop.rollouts.judging.judge import Pictures
from playloop.rollouts.judging.report import write_report
from playloop.rollouts.judging.run import evaluate_world
from playloop.worlds.checkpoint import World, save_part
from playloop.worlds.inverse import InverseConfig
from playloop.worlds.metrics import psnr

SMALL = {"clips": 5, "horizon": 4, "drift_clips": 2, "drift_frames": 9, "branches": 2, "branch_frames": 2}
INVERSE = InverseConfig(height=32, width=64, before=0, after=0, channels=(8, 8), hidden=8)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A recording that nothing was trained on."""
    return record_explorer(tmp_path_factory.mktemp("fresh") / "data", episodes=3, steps=24, seed=11)


@pytest.fixture(scope="module")
def inverse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inverse") / "checkpoint"
    return save_part(folder, INVERSE, INVERSE.make().state_dict(), {})


@pytest.fixture(scope="module")
def out(chain, fresh, inverse, tmp_path_factory):
    """A finished run of the command."""
    out = tmp_path_factory.mktemp("out") / "run"
    words = [f"{name}={value}" for name, value in SMALL.items()]
    words += [f"world={chain['world']}", f"data={fresh}", f"inverse={inverse}", f"out={out}"]
    assert main(["eval", *words]) == 0
    return out


def read(out):
    return json.loads((out / "summary.json").read_text())


def test_the_command_leaves_everything(out, chain):
    summary = read(out)
    result, run = summary["result"], summary["run"]
    assert result["world"] == World.load(chain["world"]).name and result["windows"] == [1, 4]
    assert set(result["quality"]["kinds"]) == {"window 1", "window 4", "persistence", "tokenizer"}
    for found in result["quality"]["kinds"].values():
        for name, record in found.items():
            assert len(record["frames"]) == 4 and record["mean"]["low"] <= record["mean"]["high"], name
    assert set(result["quality"]["kinds"]["persistence"]) == {"psnr", "psnr_of_mean", "ssim", "accuracy"}
    assert result["following"]["kinds"]["true"]["mean"]["share_of_ceiling"]["value"] == 1
    assert result["control"]["points"] == 2 and len(result["control"]["by_frame"]["imagined"]) == 2
    assert {"psnr", "brightness", "contrast", "entropy", "motion"} == set(result["drift"]["curves"])
    assert run["provenance"]["command"].startswith("playloop eval") and run["sessions"][0]["frames"] > 0
    assert "NaN" not in (out / "summary.json").read_text()
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 8 and page.count("data:image/png") >= 7
    assert "http://" not in page and "https://" not in page


def test_names_are_never_markup(out, tmp_path):
    evil, summary = "<script>alert(1)</script>", read(out)
    summary["result"] |= {"world": evil, "drift": {"left_out": evil}, "control": {"left_out": evil}}
    summary["result"]["data"][0]["name"] = summary["run"]["provenance"]["command"] = evil
    clips = {kind: np.zeros((4, 8, 8, 3), np.uint8) for kind in ("true", "window 1", "persistence")}
    page = write_report(tmp_path, summary, Pictures(clips={evil: clips})).read_text()
    assert page.count("&lt;script&gt;") >= 8 and "<script" not in page


LIMIT = 10 * np.log10(12 * 255**2)
"""PSNR of frames that differ by rounding to bytes alone: what equal frames count as."""


def test_persistence_is_the_last_frame_of_the_context(out, fresh):
    recordings = Recordings([str(fresh)], SIZE)
    clips = recordings.choose(SMALL["clips"], WORLD.context + SMALL["horizon"])
    found = []
    for clip in clips:
        frames = recordings.frames(clip)
        last = frames[WORLD.context - 1]
        found.append([min(float(psnr(last, frame)), LIMIT) for frame in frames[WORLD.context :]])
    reported = read(out)["result"]["quality"]["kinds"]["persistence"]["psnr"]
    assert reported["mean"]["value"] == pytest.approx(np.mean(found), abs=1e-3)
    assert [record["value"] for record in reported["frames"]] == pytest.approx(np.mean(found, 0), abs=1e-3)


def test_a_broken_run_ends_as_an_unbroken_one(out, chain, fresh, inverse, tmp_path, monkeypatch):
    config, dream, calls = WorldEvaluationConfig(**SMALL, inverse=str(inverse)), Dreamer.dream, []

    def stop(self, starts, window):
        calls.append(window)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return dream(self, starts, window)

    monkeypatch.setattr(Dreamer, "dream", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate_world(chain["world"], str(fresh), config, tmp_path / "run")
    assert len((tmp_path / "run/imagined.jsonl").read_text().splitlines()) == 7
    summary = evaluate_world(chain["world"], str(fresh), config, tmp_path / "run")
    assert summary["result"] == read(out)["result"] and summary["run"]["sessions"][0]["imagined"] == 27
    again = evaluate_world(chain["world"], str(fresh), config, tmp_path / "run")
    assert again["result"] == summary["result"] and again["run"]["sessions"] == summary["run"]["sessions"]


def test_a_perfect_world_reaches_every_ceiling(chain, fresh, tmp_path, monkeypatch):
    """A model that imagines what truly happens scores as the frame tokenizer itself."""
    from playloop.rollouts.judging import workload

    truth: dict[int, np.ndarray] = {}
    plain, branch = workload.Workload.start, workload.Workload.branch

    def start(self, clip):
        made = plain(self, clip)
        truth[id(made)] = self.frames.encode(self.recordings.frames(clip)[self.context :])
        return made

    def start_branch(self, clip, number):
        made = branch(self, clip, number)
        truth[id(made)] = self.frames.encode(self.points[clip].branches[number])
        return made

    monkeypatch.setattr(workload.Workload, "start", start)
    monkeypatch.setattr(workload.Workload, "branch", start_branch)
    monkeypatch.setattr(Dreamer, "dream", lambda self, starts, window: [truth[id(one)] for one in starts])
    config = WorldEvaluationConfig(**SMALL)
    result = evaluate_world(chain["world"], str(fresh), config, tmp_path / "run")["result"]
    kinds = result["quality"]["kinds"]
    assert kinds["window 1"]["accuracy"]["mean"]["value"] == 1
    assert kinds["window 1"]["psnr"] == kinds["window 4"]["psnr"] == kinds["tokenizer"]["psnr"]
    curves = result["drift"]["curves"]
    assert curves["psnr"]["imagined"] == curves["psnr"]["tokenizer"]
    assert curves["contrast"]["imagined"] == curves["contrast"]["tokenizer"]
    control = result["control"]
    assert control["all"]["psnr"] == control["all"]["ceiling_psnr"]
    assert control["by_frame"]["imagined"] == control["by_frame"]["ceiling"]
    assert "following" not in result


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["window=2"], "window=2 was not trained"),
        (["level=7"], "level=7"),
        (["horizon=0"], "horizon=0"),
        (["horizon=90"], "no episode has 93 frames"),
        (["inverse=nowhere"], "nowhere"),
        (["clps=3"], 'did you mean "clips"'),
        (["fvd=nowhere.pt"], "nowhere.pt"),
    ],
)
def test_bad_settings_are_one_sentence(chain, fresh, tmp_path, capsys, words, complaint):
    asked = [f"world={chain['world']}", f"data={fresh}", f"out={tmp_path / 'x'}", *words]
    assert main(["eval", *asked]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "x/imagined.jsonl").exists()


def test_another_seed_in_the_same_folder_is_refused(out, chain, fresh, capsys):
    words = [f"{name}={value}" for name, value in SMALL.items()]
    asked = [f"world={chain['world']}", f"data={fresh}", f"out={out}", *words, "seed=5"]
    assert main(["eval", *asked]) == 2
    assert "seed: it was 0, now it is 5" in capsys.readouterr().err
