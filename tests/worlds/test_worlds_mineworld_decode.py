"""MineWorld's decoding against loops written out here: raster order, and the release's diagonals."""

from __future__ import annotations

import pytest
import torch
from mineworld_sizes import CONFIG, begun, clip, draws, model, unit_of

from playloop.nn.decoder import Rotary, StaticCache
from playloop.worlds.decode import decode_frame
from playloop.worlds.mineworld.decode import ContextCache, prefill
from playloop.worlds.sampler import SamplerConfig, sample

N, A, W, H = CONFIG.tokens, 11, CONFIG.columns, CONFIG.rows


def play(made, sampler, frames=2, batch=2, begin=1):
    """Frames after a clip: the whole clip's tokens [B, T, N], its actions, the state."""
    tokens, actions = clip(begin, batch)
    state = begun(made, tokens, actions, sampler)
    for number in range(frames):
        action = actions[:, begin - 1 + number]
        new = decode_frame(made, state, action, draws(batch, number), sampler)
        tokens = torch.cat([tokens, new[:, None]], 1)
    return tokens, actions[:, : begin - 1 + frames], state


@torch.inference_mode()
def feed(made, cache, rotary, ids, positions, seen=None):
    """Ids [B, n] at the positions → hidden [B, n, D]; each sees all places up to its own, or `seen`."""
    at = torch.tensor(positions)
    length = cache.keys[0].shape[2]
    seen = torch.arange(length)[None] <= at[:, None] if seen is None else seen
    bias = torch.zeros(len(at), length).double().masked_fill(~seen, float("-inf"))
    return made.llama(made.token(ids).double(), rotary.at(at), bias, cache, at)


def fresh(made, batch):
    sizes = made.config.sizes, CONFIG.positions, torch.float64, "cpu"
    return StaticCache.empty(made.config.sizes, batch, *sizes[1:]), Rotary(*sizes)


def pick(made, hidden, numbers, sampler):
    logits = torch.nn.functional.linear(hidden, made.head.weight)[..., : CONFIG.codes]
    return sample(logits, numbers, sampler)


@torch.inference_mode()
def raster(made, first, actions, frames, sampler):
    """Token after token, one a pass, after one pass over the first frame."""
    cache, rotary = fresh(made, len(first))
    feed(made, cache, rotary, first, list(range(N)))
    clips = [first]
    for number in range(frames):
        base, numbers = N + number * (N + A), draws(len(first), number)
        ids = torch.cat([clips[-1][:, -1:], actions[:, number]], 1)
        hidden = feed(made, cache, rotary, ids, list(range(base - 1, base + A)))[:, -1:]
        new = [pick(made, hidden, numbers[:, :1], sampler)]
        for k in range(1, N):
            hidden = feed(made, cache, rotary, new[-1], [base + A + k - 1])
            new.append(pick(made, hidden, numbers[:, k : k + 1], sampler))
        clips.append(torch.cat(new, 1))
    return torch.stack(clips, 1), cache


def test_a_full_window_is_raster_order_bit_for_bit():
    made, sampler = model(), SamplerConfig(window=W, top_p=0.9)
    tokens, actions, state = play(made, sampler)
    wanted, cache = raster(made, tokens[:, 0], actions, 2, sampler)
    assert torch.equal(tokens, wanted)
    for ours, theirs in zip(state.keys + state.values, cache.keys + cache.values, strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(play(made, SamplerConfig(window=1, top_p=0.9))[0], wanted)


@torch.inference_mode()
def test_a_full_window_is_raster_order_without_any_cache():
    made, sampler = model(), SamplerConfig(window=W, top_p=0.9)
    tokens, actions, _ = play(made, sampler, frames=1)
    sequence = torch.cat([tokens[:, 0], actions[:, 0]], 1)
    for k in range(N):
        cache, rotary = fresh(made, 2)
        hidden = feed(made, cache, rotary, sequence, list(range(sequence.shape[1])))[:, -1:]
        sequence = torch.cat([sequence, pick(made, hidden, draws()[:, k : k + 1], sampler)], 1)
    assert torch.equal(tokens[:, 1], sequence[:, N + A :])


@pytest.mark.parametrize("choice", [{}, {"window": 2}, {"window": 3, "causal": True}, {"window": W}])
@pytest.mark.parametrize("placeholder", ["before", "above"])
def test_every_place_of_the_cache_holds_what_a_whole_pass_computes(choice, placeholder):
    made, sampler = model(), SamplerConfig(**choice, placeholder=placeholder)
    tokens, actions, state = play(made, sampler, frames=2, begin=2)
    whole = ContextCache.for_model(made, 2)
    prefill(made, whole, tokens, actions, made.config.schedule(sampler))
    length = 4 * (N + A) - A - 1  # the very last token is fed with the next action
    assert state.base.tolist() == whole.base.tolist() == [length + 1] * 2
    pairs = zip(state.keys + state.values, whole.keys + whole.values, strict=True)
    for stepwise, at_once in pairs:
        assert stepwise[:, :, :length].abs().amin((0, 1, 3)).min() > 0
        torch.testing.assert_close(stepwise[:, :, :length], at_once[:, :, :length], rtol=0, atol=1e-12)
        assert not stepwise[:, :, length:].any()


@torch.inference_mode()
def released(made, first, actions, window, demo, frames, sampler):
    """The published loop: a list of active rows, placeholders that stay, and a triangular mask over zeros."""
    cache, rotary = fresh(made, len(first))
    feed(made, cache, rotary, first, list(range(N)))
    prompt, clips = first, [first]
    for number in range(frames):
        base, numbers = N + number * (N + A), draws(len(first), number)
        grid = [[None] * W for _ in range(H)]
        feed(made, cache, rotary, clips[-1][:, -1:], [base - 1])  # the demo's commit of the last token
        hidden = feed(made, cache, rotary, actions[:, number], list(range(base, base + A)))
        grid[0][0] = pick(made, hidden[:, -1], numbers[:, 0], sampler)
        while any(None in row for row in grid):
            ids, slots, targets = [], [], []
            for row in range(H):
                done = W - sum(token is None for token in grid[row])
                if 0 < done < W:
                    ids.append(grid[row][done - 1])
                    slots.append(row * W + done - 1)
                    targets.append((row, done))
                elif done == 0 and grid[row - 1][window - 1] is not None:
                    end = row * W - 1
                    ids.append(grid[row - 1][window - 1] if demo else prompt[:, end])
                    slots.append(end)
                    targets.append((row, 0))
            hidden = feed(made, cache, rotary, torch.stack(ids, 1), [base + A + slot for slot in slots])
            flat = [row * W + column for row, column in targets]
            new = pick(made, hidden, numbers[:, flat], sampler)
            for place, (row, column) in enumerate(targets):
                grid[row][column] = new[:, place]
        clips.append(torch.stack([token for row in grid for token in row], 1))
    return torch.stack(clips, 1), cache


@pytest.mark.parametrize("window", [1, 2, W])
@pytest.mark.parametrize("rules", ["offline", "demo"])
def test_compat_is_the_published_loop(window, rules):
    made, sampler = model(), SamplerConfig(window=window, rules=rules, top_p=0.9)
    tokens, actions, state = play(made, sampler)
    wanted, cache = released(made, tokens[:, 0], actions, window, rules == "demo", 2, sampler)
    assert torch.equal(tokens, wanted)
    for ours, theirs in zip(state.keys + state.values, cache.keys + cache.values, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    raster_order = play(made, SamplerConfig(window=W, top_p=0.9))[0]
    # A whole row as window: the demo's placeholder is then the true token, the offline program's is not.
    assert torch.equal(tokens, raster_order) == (window == W and rules == "demo")


@pytest.mark.parametrize("rules", ["clean", "offline"])
def test_only_compat_leaves_wrong_keys(rules):
    """Keys of the first layer follow from token and place alone."""
    made, sampler = model(), SamplerConfig(window=1, rules=rules)
    tokens, actions, state = play(made, sampler, frames=1)
    cache, rotary = fresh(made, 2)
    sequence = torch.cat([tokens[:, 0], actions[:, 0], tokens[:, 1]], 1)
    feed(made, cache, rotary, sequence, list(range(sequence.shape[1])))
    wrong = (state.keys[0] - cache.keys[0]).abs().amax((0, 1, 3)) > 1e-9
    ends = [N + A + row * W - 1 for row in range(1, H)] if rules == "offline" else []
    assert wrong.nonzero()[:, 0].tolist() == [*ends, N + A + N - 1]


def test_a_batch_is_its_rows():
    made, sampler = model(), SamplerConfig(window=1)
    tokens, actions = clip(1, 3)
    state = begun(made, tokens, actions, sampler)
    together = decode_frame(made, state, actions[:, 0], draws(3), sampler)
    assert len(together.unique(dim=0)) == 3
    for row in range(3):
        state = begun(made, tokens[row : row + 1], actions[row : row + 1], sampler)
        one = slice(row, row + 1)
        alone = decode_frame(made, state, actions[one, 0], draws(3)[one], sampler)
        assert torch.equal(alone, together[one])


@pytest.mark.parametrize("choice", [{}, {"rules": "demo"}, {"placeholder": "above", "top_p": 1.0}])
def test_no_pass_waits_for_a_value(choice):
    """On the meta device there are no values: whatever read one would fail."""
    made, sampler = model(), SamplerConfig(**choice)
    state = ContextCache.for_model(made)
    for name in ("keys", "values"):
        setattr(state, name, [buffer.to("meta") for buffer in getattr(state, name)])
    for name in ("base", "frame", "first"):
        setattr(state, name, getattr(state, name).to("meta"))
    state.rotary.cosines, state.rotary.sines = (
        t.to("meta") for t in (state.rotary.cosines, state.rotary.sines)
    )
    action, numbers = (
        torch.zeros(1, n, dtype=d, device="meta") for n, d in ((A, torch.int64), (N, torch.float32))
    )
    assert decode_frame(made.to("meta"), state, action, numbers, sampler).shape == (1, N)


def test_what_is_drawn_are_ids_of_frames_and_actions_matter():
    made, sampler = model(), SamplerConfig(top_p=1.0)
    tokens, actions = clip(1)
    state = begun(made, tokens, actions, sampler)
    one = decode_frame(made, state, actions[:, 0], draws(), sampler)
    assert one.max() < CONFIG.codes
    state = begun(made, tokens, actions, sampler)
    other = decode_frame(made, state, actions[:, 1], draws(), sampler)
    assert not torch.equal(one, other)


def test_trained_start_queries_take_the_place_of_placeholders():
    made = model(start_queries=True)
    one = play(made, SamplerConfig(placeholder="before"))[0]
    assert torch.equal(one, play(made, SamplerConfig(placeholder="above"))[0])
    plain = play(model(), SamplerConfig(placeholder="before"))[0]
    assert not torch.equal(one, plain)
    assert not torch.equal(plain, play(model(), SamplerConfig(placeholder="above"))[0])


def test_a_full_context_is_refused_before_anything_is_written():
    tokens, actions = clip(5)
    made = model()
    state = ContextCache.for_model(made, 2)
    with pytest.raises(ValueError, match="5 frames leave no room"):
        prefill(made, state, tokens, actions[:, :4], unit_of(H, W, 1))
    assert not state.keys[0].any()
