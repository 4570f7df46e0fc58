"""A MineWorld is fine-tuned or trained anew by one command, goes on exactly, and plays what it learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mineworld_demos import FREE, HELD, POV, picture, record_explorer, words, write_base, write_lamp
from policy_demos import write_demos as write_other_demos
from safetensors.torch import load_file
from test_training_trainer import ALONE, equal_exports, lines
from torch.distributed.tensor import DTensor
from vpt_files import line, noise, write_pair

from playloop.cli.arguments import Arguments
from playloop.cli.inspect import describe
from playloop.cli.main import dispatch, main
from playloop.core.episode import Episode
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.open import open_demonstrations
from playloop.envs.world import WorldEnvConfig
from playloop.tokenizers.vq import resize_linear
from playloop.training import mineworld as mineworld_training
from playloop.training.mineworld import MineWorldTaskConfig
from playloop.training.sharding import recompute_blocks, shard_model, whole
from playloop.training.task import Share
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.open import load_playable
from playloop.worlds.sampler import Order, SamplerConfig


def train(*settings: str) -> None:
    assert dispatch(Arguments.parse(["train", *settings])) == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mineworld")
    record_explorer(folder / "data")
    write_base(folder / "base")
    return folder


@pytest.fixture(scope="module")
def tuned(home) -> Path:
    train(*words(home, home / "run", "start_queries=true"))
    return home / "run/checkpoint"


def settings(home: Path, **changes) -> MineWorldTaskConfig:
    options = {"data": [str(home / "data")], "start": str(home / "base"), "validation": 0.3, "processes": 1}
    return MineWorldTaskConfig(**options | {"device": "cpu"} | changes)


def test_the_loss_falls_and_the_export_is_a_whole_folder(home, tuned):
    found = lines(home / "run")
    assert found[-1]["loss"] < 0.7 * found[0]["loss"]
    assert {"accuracy", "accuracy_actions", "validation/loss"} <= found[-1].keys()
    world, base = load_playable(tuned), MineWorldPlay.load(home / "base")
    assert world.model.config == replace(base.model.config, start_queries=True)
    for name, value in base.tokenizer.state_dict().items():
        assert torch.equal(value, world.tokenizer.state_dict()[name])
    assert world.contract.cameras == {"pov": (32, 64)} and world.contract.family == "craft"
    assert world.starts.shape == (64, 3, 8) and world.start_actions.shape == (64, 2, 11)
    told = dict(describe(tuned))
    assert told["made of"] == "base" and told["beginnings"] == "64 of 3 frames"
    assert told["start queries"] == "trained" and "start queries" not in dict(describe(home / "base"))
    record = json.loads((tuned / "training.json").read_text())
    assert record["steps"] == 40 and record["data"][0]["identity"] == Demonstrations(home / "data").identity
    names = load_file(tuned / "model.safetensors").keys()
    assert names == load_file(home / "base/model.safetensors").keys() | {"start_queries"}


def test_the_loss_is_that_of_the_export_on_the_recordings(home, tuned):
    """Frames, actions and sums made here, from the recordings' rows."""
    world, data = MineWorldPlay.load(tuned, dtype=torch.float32), Demonstrations(home / "data")
    task, losses = settings(home).make(), []
    schedule = world.model.config.schedule(SamplerConfig())
    taken = torch.from_numpy(world.actions.encode(data.column("action")))
    kept = [place for place in range(64) if place != 3]  # nobody asks for the first frame's second row
    for number in range(task.validation_batches(8)):
        first = task.choose("validation", number, torch.Generator(), Share(8))
        clips = [data.frames(POV, np.arange(row, row + 4)) for row in first]
        shrunk = [np.stack([resize_linear(image, (32, 64)) for image in clip]) for clip in clips]
        tokens = torch.stack([world.tokenizer.encode(torch.from_numpy(clip)) for clip in shrunk])
        actions = torch.stack([taken[row : row + 3] for row in first])
        ids = torch.cat([tokens[:, :3], actions], 2).flatten(1)  # frame, action, frame, action, …
        ids = torch.cat([ids, tokens[:, 3]], 1)
        with torch.no_grad():
            logits = world.model(tokens, actions, schedule)
        losses.append(-logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[:, kept].mean().item())
    assert np.mean(losses) == pytest.approx(lines(home / "run")[-1]["validation/loss"], rel=1e-5)


def test_start_queries_are_trained_saved_and_used(home, tuned):
    base, world = (MineWorldPlay.load(path, dtype=torch.float32).model for path in (home / "base", tuned))
    mean = base.token.weight[: base.config.codes].mean(0)
    fresh = settings(home, start_queries=True).make().model
    assert torch.allclose(fresh.start, mean[None]) and (world.start - mean).norm() > 0.1 * mean.norm()
    task = settings(home, start=str(tuned)).make()
    assert task.model.config.start_queries and torch.equal(task.model.start, world.start)
    task.prepare(torch.device("cpu"), torch.float32)
    batch = task.batch("train", 0, torch.Generator().manual_seed(0), Share(8))
    with torch.no_grad():
        trained = task.loss(batch, torch.Generator())[0]
        task.model.start.copy_(mean)
        assert task.loss(batch, torch.Generator())[0] > trained + 1e-4


def test_a_model_keeps_the_order_that_it_was_trained_for(home, tmp_path):
    """Whoever names nothing plays and fine-tunes in that order."""
    train(*words(home, tmp_path / "run", "steps=2", "window=2", "causal=true", "placeholder=above"))
    folder, order = tmp_path / "run/checkpoint", Order(2, "above", True)
    assert MineWorldPlay.load(folder).trained == order and MineWorldPlay.load(home / "base").trained is None
    assert dict(describe(folder))["trained for"] == "window=2, placeholder=above, causal=True"
    assert "trained for" not in dict(describe(home / "base"))
    again = settings(home, start=str(folder)).make()
    assert again.sampler.order() == order and again.schedule.causal and again.schedule.window == 2
    assert settings(home).make().sampler.order() == Order()
    with pytest.warns(UserWarning, match="window=1, but the model was trained for window=2;"):
        other = settings(home, start=str(folder), sampler=SamplerConfig(window=1)).make()
    assert other.sampler.order() == replace(order, window=1)


def test_a_stopped_run_goes_on_exactly(home, tuned, tmp_path):
    stopped = words(home, tmp_path / "run", "start_queries=true")
    train(*stopped, "max_minutes=0.0")
    assert [found["step"] for found in lines(tmp_path / "run")] == [10]
    assert MineWorldPlay.load(tmp_path / "run/checkpoint").model.config.start_queries
    train(*stopped)
    assert lines(tmp_path / "run") == lines(home / "run")
    assert equal_exports(tmp_path / "run", home / "run")
    with pytest.raises(ValueError, match=r"placeholder.*before.*above"):
        train(*stopped, "placeholder=above")


def test_it_plays_what_it_was_taught(home, tmp_path):
    """The key held at a frame decides on the next one; in play it does so too, at once and in every frame."""
    write_lamp(tmp_path / "data")
    quick = ["steps=150", "rate=0.005", "recompute=false", "validation=0.1"]
    train(*words(home, tmp_path / "run", f"data={tmp_path / 'data'}", *quick))
    env = WorldEnvConfig(str(tmp_path / "run/checkpoint"), threads=0).make()
    env.sampling(0.0, 1.0)
    tokenizer = env.world.tokenizer
    seen = {
        held: tokenizer.decode(tokenizer.encode(torch.from_numpy(env.world.resize(picture(held)))[None]))
        for held in (True, False)
    }
    env.begin(Episode("world", 0, 0))
    for held in (True, False, False, True, True, False, True, False, True, True):
        env.advance(HELD if held else FREE)
        found = env.observe()["images"]["pov"].astype(float)
        right, wrong = (np.abs(found - seen[key][0].numpy()).mean() for key in (held, not held))
        assert right < wrong / 4


def test_sizes_are_trained_from_nothing(home, tmp_path):
    sizes = ["width=16", "layers=1", "heads=2", "groups=1", "hidden=24", "context=3"]
    new = ["mineworld=700M_32f", f"tokenizer={home / 'base'}", *(f"model.{size}" for size in sizes)]
    write_lamp(tmp_path / "more", episodes=2)
    places = [f"data={tmp_path / 'more'}", f"cache={tmp_path / 'cache'}"]
    train(*words(home, tmp_path / "run", *new, *places, "steps=2", "dtype=float16", "window=2", "seed=5"))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    world = MineWorldPlay.load(tmp_path / "run/checkpoint")
    config = world.model.config
    assert (config.rows, config.columns, config.codes, config.vocabulary) == (2, 4, 48, 118)
    assert (config.width, config.layers, config.context, config.start_queries) == (16, 1, 3, False)
    assert not config.truncate and MineWorldPlay.load(home / "base").model.config.truncate
    stored = load_file(tmp_path / "run/checkpoint/model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    WorldEnvConfig(str(tmp_path / "run/checkpoint"), SamplerConfig(), threads=0).make().warm_up()


def test_tokens_are_those_of_frames_as_the_release_shrinks_them(home, tmp_path, monkeypatch):
    """VPT's recordings and two processes; what lies on disk is not decoded again."""
    pictures = [noise((80, 140), seed=number) for number in range(9)]
    write_pair(tmp_path / "vpt", "a", [line(keys=["w"], gui=k == 4, dx=20.0) for k in range(9)], pictures)
    data = [str(tmp_path / "vpt"), str(home / "data")]
    monkeypatch.setattr(mineworld_training, "PIECE", 3)
    options = {"data": data, "validation": 0.0}
    task = replace(settings(home), **options, processes=2).make()
    world = MineWorldPlay.load(home / "base", dtype=torch.float32)
    rows = {0: 0, 3: 3, 4: 5, 7: 8}  # the menu's frame is left out, and parts two episodes
    for row, number in rows.items():
        frame = open_demonstrations(data[0]).frame(POV, row)
        assert np.abs(frame.astype(int) - pictures[number]).mean() < 12
        wanted = world.tokenizer.encode(torch.from_numpy(resize_linear(frame, (32, 64)))[None])[0]
        assert task.tokens.gather(np.array([row]))[0].tolist() == wanted.tolist()
    assert task.rows["train"][:3].tolist() == [0, 4, 8]
    vector = open_demonstrations(data[0]).column("action")[0]
    assert task.actions[0].tolist() == world.actions.encode(vector).tolist()

    def never(job):
        raise AssertionError("decoded again")

    monkeypatch.setattr(mineworld_training, "_read", never)
    again = replace(settings(home), **options).make()
    every = np.arange(len(again.tokens))
    assert np.array_equal(again.tokens.gather(every), task.tokens.gather(every))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": {"width": 64}}, "has width=32, not 64; leave model.width out"),
        ({"model": {"widht": 64}}, "model.widht: there is no such size"),
        ({"model": {"context": "two"}}, "model.context=two must be a int"),
        ({"model": {"context": 1}}, "context=1: use a number of at least 2"),
        ({"model": {"truncate": 1}}, "model.truncate=1 must be true or false"),
        ({"model": {"truncate": False}}, "has truncate=True, not False"),
        ({"start": "500M"}, "500M is neither the folder of a MineWorld nor .* 300M_16f"),
        ({"start": None}, "None is neither"),
        ({"start": "300M_16f"}, "begins from nothing; give tokenizer=DIR"),
        (
            {"start": "300M_16f", "tokenizer": "base", "model": {"rows": 14}},
            "model.rows=14, but the tokenizer",
        ),
        ({"start": "300M_16f", "tokenizer": "base", "model": {"heads": 7}}, "even multiple of heads=7"),
        ({"tokenizer": "base"}, "brings its own tokenizer"),
        ({"clip": 5}, "clip=5 must be at least 2 frames, and at most the context, 4"),
        ({"clip": 1}, "clip=1 must"),
        ({"sampler": SamplerConfig(window=5)}, "window=5 must lie between 1 .* and 4"),
        ({"sampler": SamplerConfig(rules="demo")}, "rules=demo only change how .* window=4 for raster"),
        ({"dtype": "int8"}, "dtype=int8: there are float16"),
        ({"camera": "front"}, "has no camera 'front'; it has observation.images.pov"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(home, changes, complaint):
    if "tokenizer" in changes:
        changes = changes | {"tokenizer": str(home / "base")}
    with pytest.raises(ValueError, match=complaint):
        settings(home, **changes).make()


def test_other_folders_are_refused(home, tmp_path, capsys):
    write_other_demos(tmp_path / "other", episodes=2)
    with pytest.raises(ValueError, match="actions of MineRL"):
        settings(home, data=[str(tmp_path / "other")]).make()
    with pytest.raises(FileNotFoundError, match="playloop convert"):
        settings(home, start=str(home / "base-release")).make()
    with pytest.raises(FileNotFoundError, match=r"holds no MineWorld: .* it is a data set"):
        settings(home, start=str(home / "data")).make()
    assert main(["train", "mineworld=300M_17f", f"data={home / 'data'}", f"out={tmp_path / 'run'}"]) != 0
    assert "300M_17f is neither the folder of a MineWorld nor" in (said := capsys.readouterr().err)
    assert "300M_16f" in said  # not the shipped checkpoints, none of which is a MineWorld
    release = str(next((home / "base-release").glob("*/*.ckpt")))
    assert main(["train", f"mineworld={release}", f"data={home / 'data'}", f"out={tmp_path / 'run'}"]) != 0
    assert f"playloop convert {release}" in capsys.readouterr().err


def test_sharded_and_recomputed_gradients_are_the_whole_ones(home):
    """FSDP2 around the loss, whose forward is a call inside a call; one process holds all slices."""
    options = {"start_queries": True, "seed": 4}
    plain, sharded = (settings(home, **options).make() for _ in range(2))
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        recompute_blocks(sharded.model)
        shard_model(sharded.model, ALONE)
        assert all(isinstance(value, DTensor) for value in sharded.model.parameters())
        for task in (plain, sharded):
            task.prepare(torch.device("cpu"), torch.float32)
            batch = task.batch("train", 0, torch.Generator().manual_seed(0), Share(4))
            for _ in range(2):  # gradients add up, and the second time finds all in place
                task.loss(batch, torch.Generator())[0].backward()
        found = dict(sharded.model.named_parameters())
        for name, value in plain.model.named_parameters():
            assert value.grad.norm() > 0
            torch.testing.assert_close(whole(found[name].grad), value.grad, rtol=1e-4, atol=1e-7)
    finally:
        dist.destroy_process_group()
