"""Players in one batch against each of them alone: they join late, wait, fill up and leave as they like."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from mineworld_release import TINY, TINY_VQ, enliven
from mineworld_sizes import CONFIG, begun, clip, draws, model
from no_host import without_host
from one_player import Session

from playloop.nn.graphs import WARM_UPS, Captured
from playloop.worlds.decode import decode_frame
from playloop.worlds.mineworld import decode as module
from playloop.worlds.mineworld.decode import ContextCache, prefill
from playloop.worlds.mineworld.folder import MineWorldPlay, minecraft_contract
from playloop.worlds.sampler import SamplerConfig

N, A, W, H = CONFIG.tokens, 11, CONFIG.columns, CONFIG.rows
SAMPLERS = [{}, {"window": 2, "placeholder": "above"}, {"window": 3, "causal": True}]
SAMPLERS += [{"rules": "demo"}, {"rules": "offline", "window": 2}]


@cache
def world():
    """In float32, with a context of four frames."""
    made, vq = TINY.make(0).eval(), TINY_VQ.make(1).eval()
    enliven(made, vq)
    none = torch.zeros(0, 1, TINY.tokens, dtype=torch.int64)
    return MineWorldPlay(made, vq, minecraft_contract(TINY_VQ), none, none[:, :0], "tiny")


def noise(rng):
    """A frame's tokens, an action, and numbers to draw a frame with."""
    tokens = torch.from_numpy(rng.integers(0, TINY.codes, TINY.tokens))
    return tokens, torch.from_numpy(rng.integers(TINY.codes, TINY.vocabulary - 2, A)), rng.random(TINY.tokens)


def step(players, moves):
    """Players' actions and numbers, by player."""
    return players.step(*({player: move[part] for player, move in moves.items()} for part in (0, 1)))


class Solo:
    """What one player does and sees, in a session of its own."""

    def __init__(self, sampler):
        self.session = Session(world(), sampler)

    def enter(self, frames):
        self.session.begin()
        for number, (tokens, action, _) in enumerate(frames):
            self.session.write(tokens, action if number else None)


@pytest.mark.parametrize("choice", SAMPLERS)
def test_a_batch_is_its_players(choice):
    sampler, rng = SamplerConfig(**choice, keep=2, top_p=0.9), np.random.default_rng(5)
    players, alone = world().players(sampler, 4), [Solo(sampler) for _ in range(4)]
    seen, events = set(), Counter()
    for tick in range(26):
        chosen = {}
        for player, solo in enumerate(alone):
            context = solo.session.frames
            if (not context and tick > 4 * player) or (context and rng.random() < 0.08):
                frames = [noise(rng) for _ in range(rng.integers(1, 4))]
                players.begin(player)
                for number, (tokens, action, _) in enumerate(frames):
                    players.write(player, tokens, action if number else None)
                solo.enter(frames)
                events["joined"] += 1
            if solo.session.frames and rng.random() < 0.75:
                chosen[player] = noise(rng)[1:]
                events["filled"] += len(solo.session.frames) == TINY.context
            elif solo.session.frames:
                events["waited"] += 1
                events["waited, full"] += len(solo.session.frames) == TINY.context
        if not chosen:
            continue
        found = step(players, chosen)
        assert found.keys() == chosen.keys()
        for player, move in chosen.items():
            wanted = alone[player].session.step(*move)
            assert torch.equal(found[player], wanted), (tick, player)
            seen.add(tuple(wanted.tolist()))
            held = players.contexts[player]
            assert all(map(torch.equal, held.frames, alone[player].session.frames))
            compare_rows(players, player, alone[player].session.players)
    assert min(events[name] for name in ("joined", "filled", "waited", "waited, full")) >= 2, events
    assert len(seen) > 30  # frames depend on what was given


def compare_rows(players, player, solo):
    """All that later frames can see of a row is what lies in the player's own cache."""
    base = int(solo.backend.cache.base)
    assert int(players.backend.cache.base[player]) == base
    ours, theirs = (one.backend.cache.keys + one.backend.cache.values for one in (players, solo))
    for many, single in zip(ours, theirs, strict=True):
        torch.testing.assert_close(many[player, :, : base - 1], single[0, :, : base - 1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("choice", SAMPLERS)
def test_rows_stand_where_they_like(choice):
    """Rows of one, two and three frames, and one that holds none and does not move."""
    made, sampler = model(), SamplerConfig(**choice)
    schedule, state = made.config.schedule(sampler), ContextCache.for_model(model(), 4)
    for row, frames in enumerate((3, 1, 2)):
        tokens, actions = clip(frames, 1, seed=row)
        prefill(made, state.rows(slice(row, row + 1)), tokens, actions[:, : frames - 1], schedule)
    action = clip(1, 4, seed=9)[1]
    moves = torch.tensor([True, True, True, False])
    for number in range(2):
        found = decode_frame(made, state, action[:, number], draws(4, number), sampler, moves)
        assert state.base.tolist() == [(f + number + 1) * (N + A) - A for f in (3, 1, 2)] + [0]
        assert not state.frame[3].any()
        for row, frames in enumerate((3, 1, 2)):
            tokens, actions = clip(frames, 1, seed=row)
            alone = begun(made, tokens, actions, sampler)
            for step in range(number + 1):
                one = action[row : row + 1, step], draws(4, step)[row : row + 1]
                wanted = decode_frame(made, alone, *one, sampler)
            assert torch.equal(found[row], wanted[0])


@pytest.mark.parametrize("choice", SAMPLERS)
def test_runs_before_a_capture_leave_no_trace(choice):
    """`Captured` puts back where the rows stand and what their last frame was, nothing else."""
    made, sampler = model(), SamplerConfig(**choice)
    tokens, actions = clip(1, 2)
    fresh = begun(made, tokens, actions, sampler)
    wanted = decode_frame(made, fresh, actions[:, 0], draws(), sampler)
    state = begun(made, tokens, actions, sampler)
    for number in range(WARM_UPS):
        before = state.base.clone(), state.frame.clone()
        decode_frame(made, state, actions[:, 1], draws(2, number + 1), sampler)
        state.base.copy_(before[0])
        state.frame.copy_(before[1])
    assert torch.equal(decode_frame(made, state, actions[:, 0], draws(), sampler), wanted)
    for ours, theirs in zip(state.keys, fresh.keys, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("choice", SAMPLERS)
def test_a_step_of_several_could_be_captured(choice, rows=3):
    """On the meta device draws go a GPU's way, and there are no values that could be read."""
    made, sampler = model(), SamplerConfig(**choice, top_p=0.9)
    made = made.to("meta")
    state = ContextCache.for_model(made, rows)
    action = torch.zeros(rows, A, dtype=torch.int64, device="meta")
    numbers, moves = torch.zeros(rows, N, device="meta"), torch.ones(rows, dtype=torch.bool, device="meta")

    def decode(action, numbers, moves):
        assert decode_frame(made, state, action, numbers, sampler, moves).shape == (rows, N)

    assert without_host(decode, action, numbers, moves) > 100


def test_one_function_takes_every_step_of_all_players(monkeypatch):
    """One graph is enough: who plays, and how long, are inputs of one function with one shape."""
    sampler, rng = SamplerConfig(keep=2), np.random.default_rng(0)
    players, functions, shapes, places = world().players(sampler, 3), set(), set(), set()

    def spy(captured, *tensors):
        functions.add(captured)
        shapes.add(tuple(tuple(tensor.shape) for tensor in tensors))
        buffers = (*players.backend.cache.keys, players.backend.cache.base, players.backend.cache.frame)
        places.add(tuple(buffer.data_ptr() for buffer in buffers))
        return captured.function(*tensors)

    monkeypatch.setattr(Captured, "__call__", spy)
    for number in range(7):
        who = range(1 + number % 3)
        for player in who:
            if not players.contexts[player].frames:
                players.write(player, noise(rng)[0], None)
        step(players, {player: noise(rng)[1:] for player in who})
    assert len(functions) == len(places) == 1 and shapes == {((3, A), (3, TINY.tokens), (3,))}


def test_a_full_context_is_read_in_again_alone(monkeypatch):
    sampler, rng, read = SamplerConfig(keep=2), np.random.default_rng(1), []

    def spy(made, state, tokens, *rest):
        read.append(tuple(tokens.shape))
        prefill(made, state, tokens, *rest)

    monkeypatch.setattr(module, "prefill", spy)
    players = world().players(sampler, 2)
    players.write(0, noise(rng)[0], None)
    for number in range(5):
        if number == 2:
            players.write(1, noise(rng)[0], None)
        step(players, {player: noise(rng)[1:] for player in ([0] if number < 2 else [0, 1])})
    # Player 0 begins, player 1 begins, player 0 fills up and keeps two frames.
    assert read == [(1, 1, TINY.tokens), (1, 1, TINY.tokens), (1, 2, TINY.tokens)]


def test_what_has_no_meaning_is_refused_and_nobody_moves():
    rng = np.random.default_rng(2)
    players = world().players(SamplerConfig(), 2)
    tokens, action, numbers = noise(rng)
    players.write(0, tokens, None)
    for moves, complaint in (
        (({0: action, 1: action}, {0: numbers, 1: numbers}), "player 1: there is no frame to go on from"),
        (({2: action}, {2: numbers}), "player 2: there are 2, from 0"),
        (({0: action}, {}), "who steps needs both"),
        (({}, {}), "there must be at least one"),
        (({0: action[:4]}, {0: numbers}), r"player 0: action and draws are \(\(4,\), \(8,\)\)"),
        (({0: action}, {0: numbers[:3]}), r"not \(\(11,\), \(8,\)\)"),
    ):
        with pytest.raises(ValueError, match=complaint):
            players.step(*moves)
    assert len(players.contexts[0].frames) == 1 and not players.contexts[0].current
    with pytest.raises(ValueError, match="player -1"):
        players.begin(-1)
    with pytest.raises(ValueError, match="players=0"):
        world().players(SamplerConfig(), 0)
