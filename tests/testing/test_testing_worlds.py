"""`check_world` passes world models that keep the contract, and names what is wrong with others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mineworld_release import write_synthetic
from tiny_world import write_lively

from playloop.rollouts.play.uploads import read_starts
from playloop.testing import check_world
from playloop.testing.worlds import check_outline
from playloop.worlds.mineworld.convert import ConvertConfig, convert
from playloop.worlds.open import load_playable, outline
from playloop.worlds.sampler import SamplerConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_lively(tmp_path_factory.mktemp("lively"))


@pytest.fixture
def world(folder):
    return load_playable(folder)


def test_worlds_of_every_kind_pass(folder, tmp_path):
    check_world(folder)
    check_world(load_playable(folder), steps=3, sampler=SamplerConfig(temperature=2.0), backend="torch")
    convert(
        write_synthetic(tmp_path / "release"),
        tmp_path / "mine",
        ConvertConfig(rows=2, columns=4),
        read_starts,
    )
    check_world(tmp_path / "mine", steps=3)


def step_of(world, change):
    """The world, whose players' frames are changed: `change(step, players, actions, uniform)`."""
    plain = world.players

    def players(*arguments):
        made = plain(*arguments)
        step = made.step
        made.step = lambda actions, uniform: change(step, made, actions, uniform)
        return made

    world.players = players
    return world


def unseeded(world):
    """Draws with numbers of its own."""
    rng = np.random.default_rng(1)
    return step_of(
        world,
        lambda step, _, actions, uniform: step(actions, {p: rng.random(len(u)) for p, u in uniform.items()}),
    )


def jealous(world):
    """A player's frame is another one where somebody else steps, too."""

    def change(step, made, actions, uniform):
        found = step(actions, uniform)
        return {p: (tokens + (len(found) > 1)) % 12 for p, tokens in found.items()}

    return step_of(world, change)


def leaking(world):
    """Who waits while others step sees their last frame."""

    def change(step, made, actions, uniform):
        found = step(actions, uniform)
        for player, context in enumerate(made.contexts):
            if player not in actions and context.frames:
                context.frames[-1] = next(iter(found.values()))
                context.held = 0
        return found

    return step_of(world, change)


def deaf(world):
    """Whatever is done, it has been nothing."""
    return step_of(
        world, lambda step, _, actions, uniform: step({p: 0 * a for p, a in actions.items()}, uniform)
    )


def beyond(world):
    """Gives a token that there is not."""
    return step_of(world, lambda step, _, *given: {p: tokens + 12 for p, tokens in step(*given).items()})


def short(world):
    """Lacks a token of every frame."""
    return step_of(world, lambda step, _, *given: {p: tokens[1:] for p, tokens in step(*given).items()})


def larger(world):
    return replace(world, contract=replace(world.contract, cameras={"pov": (64, 64)}))


def other_actions(world):
    return replace(world, contract=replace(world.contract, action_names=("x", "y")))


def unknown_start(world):
    return replace(world, starts=world.starts + 12)


def torn_start(world):
    return replace(world, starts=world.starts[:, :, :-1])


def idle_start(world):
    return replace(world, start_actions=world.start_actions[:, 1:])


def grainy(world):
    """Its pictures have noise that nobody seeds."""
    plain = world.tokenizer.decode
    noise = torch.Generator().manual_seed(0)
    world.tokenizer.decode = lambda tokens: plain(tokens) ^ torch.randint(256, (1,), generator=noise).byte()
    return world


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (unseeded, "World is not deterministic: frame 1 has .* other tokens when the same is dreamt again"),
        (jealous, "a player of World minds the others of the batch: frame 1 has .* other tokens among two"),
        (leaking, "a player of World minds the others of the batch"),
        (deaf, "World does not react to actions: in 8 dreams of 4 frames all gave the same"),
        (beyond, "World gives tokens that its tokenizer does not have, up to"),
        (short, r"World gives tokens torch.int64 \[4, 7\] in 4 steps, not int64 \[4, 8\]"),
        (larger, r"the contract of World has pictures of \(64, 64\) of the camera 'pov', its tokenizer of"),
        (other_actions, r"has the actions \['x', 'y'\]; world models take MineRL's"),
        (unknown_start, "the beginnings of World hold tokens from"),
        (torn_start, "the beginnings of World have 7 tokens a frame, its tokenizer 8"),
        (idle_start, r"the actions in the beginnings of World are \[6, 1, 9\] instead of \[6, 2, 9\]"),
        (grainy, "the tokenizer of World draws the same tokens otherwise again"),
    ],
)
def test_a_broken_world_is_named(world, broken, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_world(broken(world))


def test_an_outline_of_something_else_is_named(folder, world):
    said = outline(folder)
    check_outline(said, world, "it")
    with pytest.raises(AssertionError, match="it: its outline has another contract than its weights"):
        check_outline(replace(said, contract=replace(said.contract, control_hz=1.0)), world, "it")
    with pytest.raises(AssertionError, match="it: the starts of its outline are not those that are loaded"):
        check_outline(replace(said, starts=said.starts[1:]), world, "it")
    with pytest.raises(AssertionError, match=r"it: the model's outline has .* of .*, its weights of"):
        check_outline(replace(said, model=said.tokenizer), world, "it")
