"""The parts of a world model's evaluation at their extremes: the truth, its repetition, one step too late."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_world import SIZE, WORLD

from playloop.core.episode import Episode
from playloop.core.minecraft import ACTION_SIZE, index_of
from playloop.core.statistics import intervals, mean_interval
from playloop.envs.craft.env import CraftConfig
from playloop.rollouts.judging import control, quality
from playloop.rollouts.judging.branching import BRANCHES, Brancher, Point
from playloop.rollouts.judging.clips import Recordings
from playloop.rollouts.judging.config import WorldEvaluationConfig
from playloop.rollouts.judging.dream import Dreamer, DreamStore, Frames
from playloop.rollouts.judging.plots import line_plot, nice_ticks
from playloop.rollouts.judging.quality import CEILING, Measures, Shown, entropy, signs
from playloop.rollouts.judging.workload import Workload
from playloop.tokenizers.minecraft import CompactActions
from playloop.worlds.checkpoint import World
from playloop.worlds.sampler import SamplerConfig

CONFIG = WorldEvaluationConfig(clips=5, horizon=4, drift_clips=2, drift_frames=9, branches=3, branch_frames=4)


@pytest.fixture(scope="module")
def recordings(chain):
    return Recordings([str(chain["data"])], SIZE)


@pytest.fixture(scope="module")
def world(chain):
    return World.load(chain["world"])


@pytest.fixture(scope="module")
def workload(world, recordings):
    return Workload(CONFIG, world, recordings, Frames(world.tokenizer))


# ------------------------------------------------------------------------------------------------- clips


def test_clips_are_spread_and_never_overlap(recordings):
    clips = recordings.choose(100, 5)
    assert len(clips) == 4 * (24 // 5) and {clip.episode for clip in clips[:4]} == {0, 1, 2, 3}
    rows = np.concatenate([recordings.rows(clip) for clip in clips])
    assert len(set(rows.tolist())) == len(rows)
    assert recordings.choose(6, 5) == clips[:6]
    for clip in clips[:5]:
        assert recordings.frames(clip).shape == (5, *SIZE, 3)
        assert recordings.actions(clip).shape == (4, ACTION_SIZE)


def test_draws_follow_from_the_clip_and_a_shorter_one_is_its_beginning(workload):
    clip = workload.clips[0]
    draws = [workload._draws(clip, count) for count in (3, 5)]
    assert np.array_equal(draws[0], draws[1][:3])
    assert not np.array_equal(draws[0], workload._draws(workload.clips[1], 3))
    assert not np.array_equal(draws[0], workload._draws(clip, 3, "branch", 0))


def test_episodes_that_were_trained_on_are_left_out(chain, recordings):
    trained = json.loads((chain["world"] / "training.json").read_text())
    rest = Recordings([str(chain["data"])], SIZE, trained=trained)
    assert rest.trained_on and sum(map(sum, rest.allowed.values())) == 1
    assert len({clip.episode for clip in rest.choose(3, 5)}) == 1
    assert not recordings.trained_on
    with pytest.raises(ValueError, match="name others"):
        Recordings([str(chain["data"])], SIZE, trained=trained | {"held_out": 0.0})
    with pytest.raises(ValueError, match="no episode has 30 frames"):
        recordings.choose(1, 30)


def test_recordings_with_other_episodes_left_out_than_in_training_are_refused(chain):
    """Which episodes are held out follows from how many there are: another count is another choice."""
    trained = json.loads((chain["world"] / "training.json").read_text())
    trained["data"][0]["identity"] += "-without-2"
    with pytest.raises(ValueError, match=r"other episodes left out.*-without-2, here"):
        Recordings([str(chain["data"])], SIZE, trained=trained)


def test_an_action_leads_from_its_frame_to_the_next(recordings, workload):
    """The game, told what a start tells the model, shows the clip's frames; told one step late, others."""
    dataset = next(iter(recordings.datasets.values()))
    env = CraftConfig(size=SIZE).make()
    errors = {by: [] for by in (-1, 0, 1)}
    for clip in recordings.choose(12, 8):  # all that there are
        start, true = workload.start(clip), recordings.frames(clip)
        actions = CompactActions().decode(start.actions)
        before = dataset.column("action")[dataset.starts[clip.episode] :][: clip.start + WORLD.context - 1]
        for by in errors:
            env.begin(Episode.from_json(dataset.playloop["episodes"][clip.episode]))
            for action in before:
                env.advance(action)
            for frame in range(2):
                env.advance(actions[WORLD.context - 1 + frame + by])
                seen = env.observe()["images"]["pov"].astype(float)
                errors[by].append(np.abs(seen - true[WORLD.context + frame]).mean())
    means = {by: np.mean(found) for by, found in errors.items()}
    assert means[0] < 0.8 * min(means[-1], means[1]), means


# ------------------------------------------------------------------------------------------------ dreams


@pytest.mark.parametrize("backend", ["kernels", "torch"])
def test_a_dream_does_not_depend_on_its_neighbours(chain, workload, backend):
    if backend == "kernels":
        pytest.importorskip("numba", reason="numba is not installed: the kernels are for it")
    world = World.load(chain["world"], dtype=torch.float64 if backend == "torch" else torch.float32)
    starts = [workload.start(clip) for clip in workload.clips[:4]]
    dreamers = [Dreamer(world, SamplerConfig(), backend, batch) for batch in (1, 4)]
    together = dreamers[1].dream(starts, 1)
    alone = [dreamers[0].dream([start], 1)[0] for start in reversed(starts)][::-1]
    assert all(np.array_equal(*pair) for pair in zip(alone, together, strict=True))
    assert together[0].shape == (CONFIG.horizon, WORLD.rows * WORLD.columns)
    assert not np.array_equal(dreamers[0].dream(starts[:1], 4)[0], together[0])


def test_a_store_goes_on_and_refuses_other_settings(tmp_path):
    store = DreamStore(tmp_path, {"seed": 0})
    store.append("a", np.arange(6).reshape(2, 3), 0.5)
    with pytest.raises(BlockingIOError, match="is being written by"):
        DreamStore(tmp_path, {"seed": 0})
    store.close()
    with (tmp_path / "imagined.jsonl").open("a") as file:
        file.write('{"clip": "b", "tok')
    store = DreamStore(tmp_path, {"seed": 0})
    assert "a" in store and "b" not in store and store["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    store.append("b", np.zeros((1, 2), np.int64), 0.1)
    store.close()
    with pytest.raises(ValueError, match="seed: it was 0, now it is 1"):
        DreamStore(tmp_path, {"seed": 1})
    (tmp_path / "imagined.jsonl").write_text('{"clip": 3}\n')
    with pytest.raises(ValueError, match=r"imagined\.jsonl:1: clip=3: .*delete that line"):
        DreamStore(tmp_path, {"seed": 0})


# ----------------------------------------------------------------------------------------------- figures


def shown(rng, frames=12):
    true = rng.integers(0, 256, (frames, *SIZE, 3), np.uint8)
    near = np.clip(true.astype(int) + rng.integers(-20, 21, true.shape), 0, 255).astype(np.uint8)
    tokens = rng.integers(0, 9, (frames, 8))
    guesses = {"good": tokens, "bad": tokens + 1}
    return Shown(true, tokens, {"good": true, "bad": near}, guesses)


def test_the_truth_scores_best_and_figures_are_their_formulas():
    rng = np.random.default_rng(0)
    clips = [shown(rng) for _ in range(3)]
    measures = Measures(WorldEvaluationConfig())
    scores = [quality.score(clip, measures.by_frame) for clip in clips]
    found = quality.summarize(scores)
    good, bad = found["good"], found["bad"]
    assert good["psnr"]["mean"]["value"] == pytest.approx(CEILING)
    assert np.isinf(good["psnr_of_mean"]["mean"]["value"])
    assert good["ssim"]["mean"]["value"] == good["accuracy"]["mean"]["value"] == 1
    errors = [
        ((clip.frames["bad"].astype(float) - clip.true) ** 2).mean((1, 2, 3)) for clip in clips
    ]  # [3][F]
    psnr = 10 * np.log10(255**2 / np.stack(errors))
    assert bad["psnr"]["mean"]["value"] == pytest.approx(psnr.mean())
    assert bad["psnr"]["frames"][4]["value"] == pytest.approx(psnr[:, 4].mean())
    pooled = 10 * np.log10(255**2 / np.mean(errors))
    assert bad["psnr_of_mean"]["mean"]["value"] == pytest.approx(pooled)
    assert bad["psnr_of_mean"]["mean"]["low"] <= pooled <= bad["psnr_of_mean"]["mean"]["high"]
    assert bad["accuracy"]["mean"]["value"] == 0
    gain = quality.difference(scores, "good", "bad")["psnr"]
    assert gain["value"] == pytest.approx(CEILING - psnr.mean())


class Means(torch.nn.Module):
    """Has the call of the standard I3D; its features are a video's mean colour."""

    def forward(self, x, rescale: bool = True, resize: bool = True, return_features: bool = False):
        return x.mean((2, 3, 4))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_fvd_is_there_when_its_weights_are(tmp_path):
    torch.jit.script(Means()).save(str(tmp_path / "i3d.pt"))
    measures = Measures(WorldEvaluationConfig(horizon=12, fvd=str(tmp_path / "i3d.pt")))
    rng = np.random.default_rng(0)
    for _ in range(4):
        measures.watch(shown(rng))
    found = measures.of_videos()
    assert found["good"]["fvd"] == pytest.approx(0, abs=1e-9) and found["bad"]["fvd"] > 0
    assert found["good"]["mineworld"] == pytest.approx(0, abs=1e-9)
    assert Measures(WorldEvaluationConfig()).of_videos() == {}
    with pytest.raises(ValueError, match="horizon=4"):
        Measures(WorldEvaluationConfig(horizon=4, fvd=str(tmp_path / "i3d.pt")))
    with pytest.raises(ValueError, match="both lpips_network"):
        Measures(WorldEvaluationConfig(lpips_network="alexnet.pth"))


def test_intervals_hold_the_mean_and_repeat():
    values = np.random.default_rng(0).normal(3, 1, 64)
    found = mean_interval(values)
    assert found == mean_interval(values) and found["value"] == pytest.approx(values.mean())
    standard = values.std(ddof=1) / 8
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * standard, rel=0.1)
    both = intervals(lambda chosen: {"mean": float(values[chosen].mean())}, 64, times=2000)["mean"]
    assert both == pytest.approx(found)


def test_signs_of_drift():
    frames = np.full((3, 8, 8, 3), 100, np.uint8)
    frames[2, :, :4] = 200
    found = signs(frames, np.array([[5] * 4, [1, 1, 2, 2], [1, 2, 3, 4]]))
    assert found["brightness"].tolist() == [100, 100, 150] and found["contrast"].tolist() == [0, 0, 50]
    assert found["entropy"].tolist() == [0, 1, 2] and found["motion"].tolist() == [0, 0, 50]
    assert entropy(np.array([7])) == 0


def test_following_of_the_truth_is_all_and_a_shift_shows():
    rng = np.random.default_rng(0)
    targets = np.zeros((6, 15, ACTION_SIZE), np.float32)
    for name in ("forward", "left", "sprint", "use", "jump", "drop", "attack"):
        targets[..., index_of(name)] = rng.random((6, 15)) < 0.4
    targets[..., index_of("use")] *= 1 - targets[..., index_of("attack")]
    targets[..., -2:] = rng.normal(0, 4, (6, 15, 2))
    late = np.concatenate([targets[:, :1], targets[:, :-1]], 1)
    found = control.following(targets, {"true": targets, "late": late, "nothing": np.zeros_like(targets)})
    true, nothing = (found["kinds"][kind]["mean"] for kind in ("true", "nothing"))
    assert true["f1"]["value"] == true["share_of_ceiling"]["value"] == 1 and true["degrees"]["value"] == 0
    assert nothing["share_of_ceiling"]["high"] < 0.6 and nothing["degrees"]["value"] > 2
    shifts = found["shifted_f1"]
    assert max(shifts["true"], key=shifts["true"].get) == "0"
    assert max(shifts["late"], key=shifts["late"].get) == "-1" and shifts["late"]["-1"] == 1
    assert found["actions"] == 90


# --------------------------------------------------------------------------------------- controllability


def test_the_true_game_controls_itself_and_one_step_late_does_not(workload):
    assert workload.no_branches == ""
    points = list(workload.points.values())
    true = [point.branches for point in points]
    exact = control.judge(points, true, true)
    assert exact["all"]["rate"] == exact["all"]["ceiling"]["rate"] == 1
    assert exact["all"]["psnr"]["value"] == pytest.approx(CEILING)
    assert 0 < exact["all"]["told"] <= 3 * len(BRANCHES)
    turned = exact["actions"]["turn left"]
    assert turned["right"] == turned["told"] == 3
    assert turned["persistence_psnr"]["value"] < CEILING / 2
    before = [np.repeat(point.frames[-1][None, None], len(BRANCHES), 0) for point in points]
    late = [np.concatenate([b, t[:, :-1]], 1) for b, t in zip(before, true, strict=True)]
    shifted = control.judge(points, late, true)
    assert shifted["all"]["psnr"]["value"] < exact["all"]["psnr"]["value"] - 5
    first, exactly = (found["by_frame"]["imagined"][0] for found in (shifted, exact))
    assert exactly["rate"] == 1 and first["right"] <= len(points)  # one picture is nearest to one action
    noise = [np.random.default_rng(0).integers(0, 256, t.shape, np.uint8) for t in true]
    assert control.judge(points, noise, true)["all"]["wilson95"][0] < exact["chance"]


def test_actions_that_lead_to_the_same_frames_are_not_counted(workload):
    point = next(iter(workload.points.values()))
    branches = point.branches.copy()
    branches[2] = branches[1]
    assert not control.distinct(branches)[[1, 2]].any()
    same = Point(point.clip, point.frames, point.actions, branches)
    found = control.judge([same], [branches], [branches])
    assert found["actions"]["forward"]["told"] == found["actions"]["back"]["told"] == 0
    assert found["actions"]["forward"]["rate"] is None and found["all"]["rate"] == 1


def test_branches_begin_with_the_recordings_last_frames_and_hold_one_action(workload):
    clip, point = next(iter(workload.points.items()))
    recorded = workload.recordings.frames(clip)
    assert np.abs(recorded.astype(float) - point.frames).mean() < 3  # a lossy codec
    start = workload.branch(clip, list(BRANCHES).index("turn right"))
    held = CompactActions().decode(start.actions[workload.context - 1 :])
    assert len(held) == CONFIG.branch_frames and (held == held[0]).all() and held[0, -1] > 4
    recorded_actions = CompactActions().encode(workload.recordings.actions(clip))
    assert np.array_equal(start.actions[: workload.context - 1], recorded_actions)


def test_a_recording_of_another_game_is_told(recordings, monkeypatch):
    dataset = next(iter(recordings.datasets.values()))
    state = dataset.column("observation.state").copy()
    monkeypatch.setitem(dataset._columns, "observation.state", state + 1)
    brancher = Brancher(recordings, CompactActions())
    with pytest.raises(ValueError, match="goes another way"):
        brancher.branch(recordings.choose(1, 3)[0], 2)


# ------------------------------------------------------------------------------------------------- plots


def test_plots_keep_to_their_frame():
    x = np.arange(1.0, 17)
    drawn = line_plot({"imagined": 30 - x, "other & co": x}, x, "PSNR, dB", {"imagined": (29 - x, 31 - x)})
    assert drawn["curves"].keys() == drawn["colors"].keys() == {"imagined", "other & co"}
    assert list(drawn["bands"]) == ["imagined"] and len(drawn["bands"]["imagined"].split()) == 2 * len(x)
    for points in (*drawn["curves"].values(), *drawn["bands"].values()):
        for across, up in (map(float, point.split(",")) for point in points.split()):
            assert drawn["left"] <= across <= drawn["right"] and 0 < up <= drawn["bottom"]
    for values in (0.0, 1.0), (-3.2, 17.0), (12.34, 12.34), (0.0, 255.0):
        ticks = nice_ticks(*values)
        assert 2 <= len(ticks) <= 8 and ticks[0] <= values[0] and ticks[-1] >= values[1]
    assert line_plot({"none": np.full(3, np.nan)}, x[:3], "nothing") is None
