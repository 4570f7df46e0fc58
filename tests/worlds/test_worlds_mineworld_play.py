"""A published checkpoint from the file to frames under held keys: convert, session, environment, page."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from mineworld_release import TINY, write_synthetic
from no_host import without_host
from one_player import Session
from PIL import Image
from rewriting import change_record

from playloop.cli.main import main
from playloop.configs.checkpoints import find_checkpoint
from playloop.core.episode import FRESH, Episode
from playloop.core.minecraft import ACTION_SIZE, action_vector
from playloop.envs.world import WorldEnvConfig
from playloop.nn.record import to_record
from playloop.rollouts.play.environments import Environments
from playloop.testing import check_env
from playloop.testing.acts import keys
from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.vq import VQTokenizer
from playloop.worlds.checkpoint import WORLD, World
from playloop.worlds.mineworld.model import TOP_P
from playloop.worlds.open import OPENERS, load_playable, opener, read_contract
from playloop.worlds.sampler import Order, SamplerConfig

AHEAD, STILL = action_vector({"forward": 1, "camera": [0.0, 10.0]}), np.zeros(ACTION_SIZE, np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("mineworld")
    source = write_synthetic(root / "release")
    image = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    Image.fromarray(image).save(root / "start.png")
    words = [str(source), f"out={root / 'out'}", f"starts={root / 'start.png'}"]
    assert main(["convert", *words, "rows=2", "columns=4", "frames=2"]) == 0
    return root / "out"


@pytest.fixture(scope="module")
def world(folder):
    return load_playable(folder)


def play(env, action, seed, steps=9):
    """Frames of more steps than the context of four holds."""
    env.begin(Episode("world", 0, FRESH, seed))
    frames = [env.observe()["images"]["pov"]]
    for _ in range(steps):
        env.advance(action)
        frames.append(env.observe()["images"]["pov"])
    return np.stack(frames)


def test_it_keeps_the_contract_of_an_environment(folder):
    check_env(WorldEnvConfig(str(folder), inits=1, threads=0).make, steps=8, act=keys)


@pytest.mark.parametrize("sampler", [SamplerConfig(), SamplerConfig(rules="demo", window=2)])
def test_held_keys_change_the_frames(folder, sampler):
    env = WorldEnvConfig(str(folder), sampler=sampler, threads=0).make()
    one = play(env, AHEAD, 1)
    env.warm_up()
    assert one.shape == (10, 32, 64, 3) and np.array_equal(one, play(env, AHEAD, 1))
    assert np.array_equal(one[0], play(env, STILL, 1)[0])
    assert not np.array_equal(one, play(env, STILL, 1)) and not np.array_equal(one, play(env, AHEAD, 2))
    assert all((before != after).any() for before, after in pairwise(one))


def test_it_goes_on_from_pictures(folder):
    env = WorldEnvConfig(str(folder), threads=0).make()
    env.begin(Episode("world", 0, 0))
    clip = np.random.default_rng(1).integers(0, 256, (6, 72, 128, 3), np.uint8)
    env.start_from(clip, np.stack([AHEAD] * 5))
    wanted = env.world.tokenizer.decode(
        env.world.tokenizer.encode(torch.from_numpy(env.world.resize(clip[-1]))[None])
    )
    assert np.array_equal(env.observe()["images"]["pov"], wanted[0].numpy())
    assert (
        len(env.players.contexts[0].frames) == 3 and len(env.players.contexts[0].actions) == 2
    )  # a new one fills the context
    assert torch.equal(env.players.contexts[0].actions[0], torch.from_numpy(env.world.actions.encode(AHEAD)))
    assert not env.advance(STILL).terminated


def test_sampling_changes_live_and_is_checked(folder):
    env = WorldEnvConfig(str(folder), threads=0).make()
    env.sampling(0.0, 1.0)
    assert np.array_equal(play(env, AHEAD, 1, 4), play(env, AHEAD, 2, 4))
    with pytest.raises(ValueError, match="top_p=0"):
        env.sampling(1.0, 0.0)


def draws(seed, world):
    return np.random.default_rng(seed).random(world.tokenizer.tokens)


@pytest.mark.parametrize("rules", ["clean", "demo"])
def test_when_the_context_is_full_the_latest_frames_are_read_in_again(world, rules):
    sampler = SamplerConfig(keep=2, rules=rules)
    session = Session(world, sampler)
    actions = [torch.from_numpy(world.actions.encode(vector)) for vector in (AHEAD, STILL)]
    frames = [world.starts[0, 0]]
    session.write(frames[0], None)
    for number in range(9):
        frames.append(session.step(actions[number % 2], draws(number, world)))
        held = len(session.frames)
        assert held == (number + 2 if number < 3 else 3 + (number - 3) % 2)
    # Frames 0 to 3 fill the context: 4 and 5 were made of 2 and 3 and what followed.
    other = Session(world, sampler)
    other.write(frames[2], None)
    other.write(frames[3], actions[0])
    for number in (3, 4):
        assert torch.equal(other.step(actions[number % 2], draws(number, world)), frames[number + 1])
    # With `keep` near the context nothing is lost at first: the two sessions differ from then on alone.
    longer = Session(world, replace(sampler, keep=3))
    longer.write(frames[0], None)
    found = [longer.step(actions[number % 2], draws(number, world)) for number in range(3)]
    assert all(torch.equal(one, two) for one, two in zip(found, frames[1:4], strict=True))


def test_a_session_begins_anew(world):
    session = Session(world, SamplerConfig(rules="demo"))
    action = torch.from_numpy(world.actions.encode(AHEAD))
    first = []
    for _ in range(2):
        session.begin()
        session.write(world.starts[0, 0], None)
        first.append([session.step(action, draws(seed, world)) for seed in range(3)])
    assert all(torch.equal(one, two) for one, two in zip(*first, strict=True))


def test_a_session_refuses_what_has_no_meaning(world):
    session, action = Session(world, SamplerConfig()), torch.zeros(11, dtype=torch.int64)
    with pytest.raises(ValueError, match="no frame to go on from"):
        session.step(action, draws(0, world))
    with pytest.raises(ValueError, match="follows no action"):
        session.write(world.starts[0, 0], action)
    session.write(world.starts[0, 0], None)
    with pytest.raises(ValueError, match="follows an action"):
        session.write(world.starts[0, 0], None)


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"window": 5}, "window=5 must lie between 1"),
        ({"level": 1}, "level=1"),
        ({"rules": "odd"}, "rules='odd': choose from clean, offline, demo"),
        ({"placeholder": "first"}, "placeholder='first': choose from before, above"),
        ({"keep": 0}, "keep=0: use a number of at least 1"),
        ({"temperature": -1.0}, r"temperature=-1\.0: use a number of at least 0"),
    ],
)
def test_settings_are_checked_before_the_first_step(world, choice, complaint):
    with pytest.raises(ValueError, match=complaint):
        Session(world, SamplerConfig(**choice))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """The same weights, said to be trained for an order of their own."""
    out = tmp_path_factory.mktemp("trained") / "out"
    shutil.copytree(folder, out)
    change_record(out, lambda record: record.update(trained=to_record(Order(2, "above", True))))
    return out


def test_a_model_is_played_in_the_order_that_it_was_trained_for(folder, trained, world):
    own, named = SamplerConfig(), SamplerConfig(window=2, placeholder="above", causal=True)
    diagonal = SamplerConfig(window=1, placeholder="before", causal=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = WorldEnvConfig(str(trained), own, threads=0).make()
        assert env.sampler == replace(named, top_p=TOP_P)
        env.sampling(1.0, 0.8)
        wanted = play(WorldEnvConfig(str(folder), named, threads=0).make(), AHEAD, 1)
        plain = play(WorldEnvConfig(str(folder), own, threads=0).make(), AHEAD, 1)
    assert np.array_equal(play(env, AHEAD, 1), wanted) and not np.array_equal(plain, wanted)
    with pytest.warns(UserWarning) as told:
        other = WorldEnvConfig(str(trained), diagonal, threads=0).make()
    message = "window=1, placeholder=before, causal=False, but the model was trained for window=2, "
    assert all(str(line.message).startswith(message) for line in told)
    assert np.array_equal(play(other, AHEAD, 1), plain)
    with pytest.warns(UserWarning, match="rules=demo, but the model was trained for rules=clean;"):
        Session(env.world, SamplerConfig(rules="demo"))
    assert env.world.name != world.name  # what is imagined without a word about the order is another thing


def test_results_name_the_order(folder, trained, tmp_path):
    words = ["env=mineworld", "agent=explorer", "inits=1", "workers=0", "horizon=2", "videos=0"]
    for path, order in ((trained, Order(2, "above", True)), (folder, Order())):
        assert main(["eval", *words, f"checkpoint={path}", f"out={tmp_path / path.parent.name}"]) == 0
        summary = json.loads((tmp_path / path.parent.name / "summary.json").read_text())
        sampler = find(summary, "sampler")
        assert {name: sampler[name] for name in vars(order)} == vars(order)


def find(record, name):
    """What a name stands for, at any depth."""
    if not isinstance(record, dict) or name in record:
        return record.get(name) if isinstance(record, dict) else None
    return next((found for value in record.values() if (found := find(value, name)) is not None), None)


def test_folders_say_what_they_are(folder, tmp_path):
    assert opener(folder) is OPENERS["mineworld"] and opener(tmp_path) is OPENERS[WORLD]
    contract, name = read_contract(folder)
    assert contract.family == "minerl" and name == load_playable(folder).name
    with pytest.raises(ValueError, match="holds a MineWorld, and a world model is wanted"):
        World.load(folder)
    with pytest.raises(ValueError, match="backend='kernels'"):
        Session(load_playable(folder), SamplerConfig(), "kernels")
    release = write_synthetic(tmp_path / "release")
    for reads in (read_contract, load_playable):
        with pytest.raises(FileNotFoundError, match="playloop convert"):
            reads(tmp_path / "release")
    with pytest.raises(FileNotFoundError, match="playloop convert"):
        find_checkpoint(str(release))


def test_it_is_played_on_the_envs_of_the_page(folder):
    config = WorldEnvConfig(str(folder), inits=1, threads=0)
    envs, images = Environments({"world": config}), frozenset({"images"})
    try:
        assert envs.build().cameras == {"pov": (32, 64)} and len(envs.worlds) == 1
        envs.warm_up(Episode("world", 0, FRESH, 0), STILL)
        envs.begin(Episode("world", 0, FRESH, 0), images)
        before = envs.views()[0][2].copy()
        for _ in range(6):
            assert not envs.advance(AHEAD, {}, images)[1]
        assert (envs.views()[0][2] != before).any()
        envs.worlds[0].start_from(np.zeros((1, 90, 160, 3), np.uint8))
    finally:
        envs.close()


def test_the_command_line_evaluates_in_it(folder, tmp_path, capsys):
    words = ["env=mineworld", f"checkpoint={folder}", "agent=explorer", "inits=1", "workers=0", "horizon=6"]
    assert main(["eval", *words, "videos=0", "env.sampler.window=2", f"out={tmp_path / 'run'}"]) == 0
    [line] = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    assert json.loads(line)["error"] is None
    assert main(["eval", *words, "env.sampler.rules=none", f"out={tmp_path / 'bad'}"]) != 0
    assert "rules='none': choose from clean, offline, demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "give one checkpoint, not 0"),
        (["a", "b"], "give one checkpoint, not 2"),
        (["nowhere.ckpt"], "nowhere.ckpt is not there"),
        (["x", "dtype=int8"], "dtype='int8': choose from float16, bfloat16"),
        (["x", "rows=0"], "at least 1"),
        (["x", "starts=nowhere.png"], "starts=nowhere.png is not there"),
        (["x", "row=3"], 'did you mean "rows"'),
    ],
)
def test_bad_words_are_one_sentence(words, complaint, capsys):
    assert main(["convert", *words]) == 2
    assert complaint in capsys.readouterr().err


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """With heads that a GPU's kernels can compute."""
    root = tmp_path_factory.mktemp("larger")
    source = write_synthetic(root / "release", config=replace(TINY, width=64))
    assert main(["convert", str(source), f"out={root / 'out'}", "rows=2", "columns=4", "dtype=float32"]) == 0
    return root / "out"


def frames_of(folder, steps=4, **settings):
    env = WorldEnvConfig(str(folder), inits=1, threads=0, **settings).make()
    env.begin(Episode("world", 0, 0))
    found = []
    for _ in range(steps):
        env.advance(AHEAD)
        found.append(env.tokens)
    return torch.stack(found)


def test_tritons_kernels_dream_as_pytorchs(larger, monkeypatch):
    pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch's CUDA builds")
    monkeypatch.setattr("playloop.worlds.mineworld.folder.native", lambda device: torch.float32)
    found = frames_of(larger, 2, backend="triton")
    assert torch.equal(found, frames_of(larger, 2)) and len(found.unique()) > 8


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_eight_bits_are_a_setting_that_results_name(larger, kind):
    small, whole = (WorldEnvConfig(str(larger), weights=weights) for weights in (kind, None))
    assert small.contract().protocol == f"{whole.contract().protocol}, its weights in {kind}"
    same = (frames_of(larger, weights=kind) == frames_of(larger)).float().mean()
    assert 0 < same < 1
    with pytest.raises(ValueError, match=f"weights={kind} is for a MineWorld"):
        load_playable(find_checkpoint("craft"), weights=kind)


@pytest.mark.parametrize("decoded", [VQTokenizer, FrameTokenizer])
def test_pixels_could_be_captured(folder, decoded):
    craft = World.load(find_checkpoint("craft")).tokenizer
    tokenizer = craft if decoded is FrameTokenizer else load_playable(folder).tokenizer
    assert isinstance(tokenizer, decoded)
    assert without_host(tokenizer.decode, torch.zeros(1, tokenizer.tokens, dtype=torch.int64)) > 20
