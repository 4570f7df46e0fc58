"""`playloop eval world=…` of a converted MineWorld, on recordings of the voxel world and of VPT's."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from mineworld_release import TINY, TINY_VQ, write_synthetic
from one_player import Session
from tiny_world import record_explorer
from vpt_files import line, noise, write_pair

from playloop.cli.main import main
from playloop.core.minecraft import action_vector
from playloop.nn.manifest import write_manifest
from playloop.nn.record import to_record
from playloop.rollouts.judging.branching import branch_actions
from playloop.rollouts.judging.clips import Recordings
from playloop.rollouts.judging.config import WorldEvaluationConfig
from playloop.rollouts.judging.dream import Dreamer, Start
from playloop.rollouts.judging.run import evaluate_world
from playloop.tokenizers.vq import resize_linear
from playloop.worlds.metrics import psnr
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.mineworld.model import TOP_P
from playloop.worlds.open import load_playable
from playloop.worlds.sampler import Order, SamplerConfig

SMALL = {"clips": 3, "horizon": 4, "drift_clips": 1, "drift_frames": 7, "branches": 1, "branch_frames": 2}
WORDS = [f"{name}={value}" for name, value in SMALL.items()] + ["windows=[4]", "keep=2", "strips=1"]
SIZE, SEEN = (TINY_VQ.height, TINY_VQ.width), TINY.context - 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("mineworld")
    source = write_synthetic(root / "release")
    assert main(["convert", str(source), f"out={root / 'out'}", "rows=2", "columns=4", "frames=2"]) == 0
    return root / "out"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The voxel world at the tokenizer's own size, which the game draws for the branches, too."""
    return record_explorer(tmp_path_factory.mktemp("craft") / "data", episodes=2, steps=16, seed=5)


@pytest.fixture(scope="module")
def vpt(tmp_path_factory):
    """Pictures of another size and shape."""
    root = tmp_path_factory.mktemp("vpt") / "recordings"
    lines = [line(keys=("w",), dx=float(step % 3), new_keys=("w",) if not step else ()) for step in range(14)]
    write_pair(root, "a", lines, [noise((120, 160), seed) for seed in range(14)])
    return root


@pytest.fixture(scope="module")
def out(folder, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    assert main(["eval", f"world={folder}", f"data={data}", f"out={out}", *WORDS, "batch=1"]) == 0
    return out


def read(out):
    return json.loads((out / "summary.json").read_text())


def imagined(out):
    lines = map(json.loads, (out / "imagined.jsonl").read_text().splitlines())
    return {record["clip"]: np.array(record["tokens"]) for record in lines}


def test_the_command_leaves_everything(out, folder):
    result = read(out)["result"]
    assert result["world"] == load_playable(folder).name and result["context"] == SEEN
    assert result["windows"] == [1, 4] and result["sampler"]["rules"] == "clean"
    assert result["sampler"]["top_p"] == TOP_P and result["sampler"]["keep"] == 2
    kinds = result["quality"]["kinds"]
    assert set(kinds) == {"window 1", "window 4", "persistence", "tokenizer"}
    for found in kinds.values():
        assert {"psnr", "psnr_of_mean", "ssim"} <= set(found) and len(found["ssim"]["frames"]) == 4
    assert {"psnr", "brightness", "contrast", "entropy", "motion"} == set(result["drift"]["curves"])
    assert result["drift"]["frames"] == 7 and result["control"]["points"] == 1
    assert "following" not in result and "NaN" not in (out / "summary.json").read_text()
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 7 and "Give inverse=FOLDER" in page


def test_what_is_imagined_is_what_a_session_plays(out, folder, data):
    """Frames, actions and draws of every clip, put together here and played alone."""
    world, recordings, found = load_playable(folder), Recordings([str(data)], SIZE), imagined(out)
    assert len(found) == 3 * 2 + 1 + 11
    for kind, count, frames, windows in (("clip", 3, 4, (1, 4)), ("drift", 1, 7, (1,))):
        for clip in recordings.choose(count, SEEN + frames):
            actions = torch.from_numpy(world.actions.encode(recordings.actions(clip)))
            images = torch.from_numpy(recordings.frames(clip)[:SEEN])
            numbers = clip.rng("draws", 0).random((frames, TINY.tokens))
            for window in windows:
                session = Session(world, SamplerConfig(window=window, keep=2))
                for number, tokens in enumerate(world.tokenizer.encode(images)):
                    session.write(tokens, actions[number - 1] if number else None)
                played = [session.step(actions[SEEN - 1 + n], numbers[n]).tolist() for n in range(frames)]
                assert found[f"{kind}/{clip.key}/window{window}"].tolist() == played


def test_clips_together_are_clips_alone(folder):
    world = MineWorldPlay.load(folder, dtype=torch.float32)
    rng = np.random.default_rng(0)
    starts = [
        Start(
            rng.integers(0, TINY.codes, (SEEN, TINY.tokens)),
            world.actions.encode(rng.integers(0, 2, (SEEN - 1 + 5, 25)).astype(np.float32)),
            rng.random((5, TINY.tokens)),
        )
        for _ in range(4)
    ]
    dreamer = Dreamer(world, SamplerConfig(keep=2))
    together = dreamer.dream(starts, 1)
    assert len({frames.tobytes() for frames in together}) == 4 and together[0].shape == (5, TINY.tokens)
    for start, wanted in zip(starts, together, strict=True):
        assert np.array_equal(dreamer.dream([start], 1)[0], wanted)
    assert not np.array_equal(dreamer.dream(starts, 4)[0], together[0])
    assert dreamer.backend == "torch, float32"
    assert Dreamer(world, SamplerConfig(), weights="int8").backend == "torch, float32, int8"


def test_other_sizes_are_shrunk_as_the_release_does(folder, vpt, tmp_path):
    out = tmp_path / "run"
    words = [*WORDS[2:3], "clips=1", "horizon=4", "drift_frames=5", "context=2"]
    assert main(["eval", f"world={folder}", f"data={vpt}", f"out={out}", *words]) == 0
    result = read(out)["result"]
    assert "only the voxel world can" in result["control"]["left_out"] and result["context"] == 2
    assert "Left out: the true game of" in (out / "report.html").read_text()
    recordings = Recordings([str(vpt)], (120, 160))
    [clip] = recordings.choose(1, 6)
    frames = [resize_linear(image, SIZE) for image in recordings.frames(clip)]
    still = np.mean([psnr(frames[1], frame) for frame in frames[2:]])
    reported = result["quality"]["kinds"]["persistence"]["psnr"]["mean"]["value"]
    assert reported == pytest.approx(still, abs=1e-3)
    tokenizer = load_playable(folder).tokenizer
    again = tokenizer.decode(tokenizer.encode(torch.from_numpy(np.stack(frames[1:])))).numpy()[1:]
    ceiling = np.mean([psnr(one, frame) for one, frame in zip(again, frames[2:], strict=True)])
    assert result["quality"]["kinds"]["tokenizer"]["psnr"]["mean"]["value"] == pytest.approx(
        ceiling, abs=1e-3
    )


def test_the_game_is_told_the_turns_that_the_model_is(folder):
    form = load_playable(folder).actions
    held = branch_actions(form)
    assert np.array_equal(form.decode(form.encode(held)), held)
    asked = action_vector({"camera": (0.0, 6.0)})
    assert len(np.unique(held, axis=0)) == len(held) and np.abs(held[:, -1] - asked[-1]).min() < 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["windows=[5]"], "window=5 must lie between 1"),
        (["sampler.rules=odd"], "rules='odd': choose from clean, offline, demo"),
        (["level=1"], "level=1"),
        (["horizon=0"], "horizon=0"),
        (["context=4"], "context=4: this model sees 3 frames; use at most so many"),
        (["backend=kernels"], "backend='kernels'"),
        (["sampler.ruls=demo"], 'did you mean "evaluation.sampler.rules"'),
    ],
)
def test_bad_settings_are_one_sentence(folder, data, tmp_path, capsys, words, complaint):
    assert main(["eval", f"world={folder}", f"data={data}", f"out={tmp_path / 'x'}", *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "x/imagined.jsonl").exists()


def test_a_model_is_judged_in_the_order_that_it_was_trained_for(folder, data, tmp_path):
    copied, record = (
        shutil.copytree(folder, tmp_path / "world"),
        json.loads((folder / "config.json").read_text()),
    )
    own = to_record(Order(window=3, causal=True))
    (copied / "config.json").write_text(json.dumps({**record, "trained": own}))
    write_manifest(copied)
    config = WorldEvaluationConfig(2, 2, sampler=SamplerConfig(), drift_clips=0, branches=0)
    result = evaluate_world(copied, str(data), config, tmp_path / "run")["result"]
    assert result["windows"] == [3] and result["sampler"]["window"] == 3 and result["sampler"]["causal"]


def test_a_release_as_it_came_is_told_to_be_converted(tmp_path, data, capsys):
    write_synthetic(tmp_path / "release")
    assert main(["eval", f"world={tmp_path / 'release'}", f"data={data}"]) != 0
    assert "playloop convert" in capsys.readouterr().err


def test_weights_of_eight_bits_are_a_mineworlds(folder, data, tmp_path, capsys):
    assert main(["eval", "world=craft", f"data={data}", "weights=int8", f"out={tmp_path / 'x'}"]) == 2
    assert "weights=int8" in capsys.readouterr().err
    words = [f"world={folder}", f"data={data}", f"out={tmp_path / 'run'}", "clips=1", "horizon=2"]
    assert main(["eval", *words, "drift_clips=0", "branches=0", "weights=int8"]) == 0
    assert read(tmp_path / "run")["run"]["config"]["weights"] == "int8"
    assert (
        main(["eval", *words, "drift_clips=0", "branches=0"]) == 2
    )  # nothing of it is taken for the others'
    assert "int8" in capsys.readouterr().err
