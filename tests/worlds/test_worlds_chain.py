"""Record, train a tokenizer, train a world model, step into it: the commands of a user, in small."""

import json

import numpy as np
import pytest
import torch
from one_player import Session
from tiny_world import HELD_OUT, SIZE, TOKENIZER, WORLD, train_tokenizer, train_world

from playloop.core.minecraft import ACTION_NAMES
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.splits import held_out
from playloop.training.metrics import read_metrics
from playloop.worlds.checkpoint import World, load_tokenizer, save_part
from playloop.worlds.metrics.frames import reconstruction
from playloop.worlds.open import read_contract
from playloop.worlds.sampler import SamplerConfig


def test_recorded_frames_are_the_games_own(chain):
    data = Demonstrations(chain["data"])
    assert data.features["observation.images.pov"]["shape"] == [*SIZE, 3]
    assert data.column("action").shape == (data.length, 25) and len(data.episodes) == 4
    assert data.contract.action_names == ACTION_NAMES
    from playloop.core.episode import Episode
    from playloop.envs.craft.env import CraftConfig

    env = CraftConfig(size=SIZE, horizon=24).make()
    env.begin(Episode.from_json(data.playloop["episodes"][1]))
    start, worst = int(data.starts[1]), 0.0
    for row in range(start, start + 12):
        seen = env.observe()["images"]["pov"].astype(float)
        worst = max(worst, float(np.abs(seen - data.frame("observation.images.pov", row)).mean()))
        env.advance(data.column("action")[row])
    last = data.column("action_chunk")[int(data.starts[2]) - 1]
    assert np.array_equal(last[0], data.column("action")[int(data.starts[2]) - 1]) and not last[1:].any()
    assert worst < 3.0  # a lossy codec, and no shift of a frame: that would be tens


def test_training_leaves_whole_checkpoints(chain):
    world = World.load(chain["world"])
    assert world.model.config.context == WORLD.context and world.starts.shape[2] == world.tokenizer.tokens
    training = json.loads((chain["world"] / "training.json").read_text())
    assert training["data"][0]["rows"] == 96 and training["steps"] == 12
    metrics = read_metrics(chain["world"].parent / "metrics.jsonl")
    assert {"loss", "accuracy", "persistence", "validation/loss"} <= set(metrics[-1])


def test_a_stopped_run_ends_as_an_unbroken_one(chain, tmp_path):
    words = ["task.imagined=0.5", "task.clip=5", "task.foresight=2"]
    whole = train_world(tmp_path / "a", chain["data"], chain["tokenizer"], *words)
    import playloop.training.trainer as trainer

    class Stop(Exception):
        pass

    def stop(self, batch, once=trainer.Trainer._update):
        if self.step == 7:
            raise Stop
        once(self, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(trainer.Trainer, "_update", stop)
        train_world(tmp_path / "b", chain["data"], chain["tokenizer"], *words)
    broken = train_world(tmp_path / "b", chain["data"], chain["tokenizer"], *words)
    names = ("model.safetensors", "starts.npz")
    assert all((whole / name).read_bytes() == (broken / name).read_bytes() for name in names)
    assert "imagined_loss" in read_metrics(whole.parent / "metrics.jsonl")[-1]


def test_the_decoder_learns_what_the_model_expects(chain, tmp_path):
    taught = train_tokenizer(tmp_path, chain["data"], f"task.generated={chain['world']}")
    before, after = load_tokenizer(chain["tokenizer"]), load_tokenizer(taught / "tokenizer")
    for old, new in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True):
        assert torch.equal(old, new)
    assert not torch.equal(before.decoder[0].weight, after.decoder[0].weight)
    old, new = World.load(chain["world"]), World.load(taught)
    assert torch.equal(old.starts, new.starts) and old.name != new.name
    assert read_contract(taught) == (new.contract, new.name)
    with pytest.raises(ValueError, match="leave start out"):
        train_tokenizer(tmp_path / "x", chain["data"], f"task.generated={taught}", f"task.start={taught}")


@pytest.mark.parametrize(
    ("kind", "word", "told"),
    [
        ("tokenizer", "task.foresight=3", "less than 3"),
        ("tokenizer", "task.sampler.window=2", "window=2 was not trained"),
        ("tokenizer", "tokenizer.channels=[12,16,20]", "other sizes"),
        ("world", "task.sampler.level=2", "level=2 must"),
        ("world", "world.width=16", "other sizes"),
    ],
)
def test_a_model_to_go_on_from_must_fit(chain, tmp_path, kind, word, told):
    with pytest.raises(ValueError, match=told):
        if kind == "tokenizer":
            train_tokenizer(tmp_path, chain["data"], f"task.generated={chain['world']}", word)
        else:
            train_world(tmp_path, chain["data"], chain["tokenizer"], f"task.start={chain['world']}", word)


def test_a_model_to_go_on_from_knows_its_own_tokens(chain, tmp_path):
    other = TOKENIZER.make(99)
    save_part(tmp_path / "other", TOKENIZER, other.state_dict(), {})
    with pytest.raises(
        ValueError, match=r"knows other tokens than those of tokenizer=.*other; give tokenizer="
    ):
        train_world(tmp_path, chain["data"], tmp_path / "other", f"task.start={chain['world']}")


def test_a_tokenizer_is_judged_by_frames_that_were_held_out(chain):
    record = json.loads((chain["tokenizer"] / "training.json").read_text())["held_out_frames"]
    data, tokenizer = Demonstrations(chain["data"]), load_tokenizer(chain["tokenizer"])
    apart = held_out(len(data.episodes), HELD_OUT, 0)
    rows = np.concatenate([np.arange(*data.starts[n : n + 2]) for n in np.flatnonzero(apart)])
    frames = np.stack([data.frame("observation.images.pov", row) for row in rows])
    assert record == pytest.approx({"frames": len(rows)} | reconstruction(tokenizer, frames), rel=1e-3)
    whole, disturbed = (reconstruction(tokenizer, frames, share)["psnr_perturbed"] for share in (0.0, 0.9))
    assert whole == pytest.approx(record["psnr"], rel=1e-3) and disturbed < whole
    assert 1 <= record["perplexity"] <= record["codes_used"] * tokenizer.codes <= tokenizer.codes


def test_sizes_that_do_not_fit_are_named(chain, tmp_path):
    with pytest.raises(ValueError, match="want"):
        train_world(tmp_path, chain["data"], chain["tokenizer"], "world.rows=3")
    with pytest.raises(ValueError, match="foresight"):
        train_world(tmp_path, chain["data"], chain["tokenizer"], "task.clip=3", "task.foresight=2")


def test_both_back_ends_imagine_and_repeat(chain):
    world = World.load(chain["world"])
    sampler, action = SamplerConfig(level=0), torch.tensor([0, 1, 0, 0, 0, 0, 0, 15, 20])
    for backend in ("torch", "kernels"):
        frames = []
        for _ in range(2):
            session, rng = Session(world, sampler, backend), np.random.default_rng(1)
            for number, tokens in enumerate(world.starts[0]):
                session.write(tokens, world.start_actions[0, number - 1] if number else None)
            frames.append(
                [session.step(action, rng.random(world.tokenizer.tokens)).tolist() for _ in range(5)]
            )
        assert frames[0] == frames[1]
    assert Session(world, sampler).players.backend.name == "kernels"
    with pytest.raises(ValueError, match="not trained"):
        Session(world, SamplerConfig(window=2))
    with pytest.raises(ValueError, match="choose from auto, torch, kernels"):
        Session(world, sampler, "magic")


def test_vpt_recordings_take_the_same_way_into_an_environment(tmp_path):
    from vpt_files import line, noise, write_pair

    from playloop.envs.world import WorldEnvConfig
    from playloop.testing import check_contract

    root = tmp_path / "vpt"
    for number in range(4):
        frames = [np.roll(noise((360, 640), number), 12 * step, 1) for step in range(10)]
        write_pair(root, f"clip{number}", [line(("w",), dx=4.0) for _ in frames], frames)
    tokenizer = train_tokenizer(tmp_path, root)
    world = train_world(tmp_path, root, tokenizer)
    env = WorldEnvConfig(str(world), threads=0).make()
    assert env.contract.cameras == {"pov": SIZE} and env.contract.action_names == ACTION_NAMES
    check_contract(env, env.episodes()[0])
