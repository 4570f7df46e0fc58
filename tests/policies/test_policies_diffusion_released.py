"""The released decoder of Discrete Diffusion VLA, written down again, against ours round by round."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from playloop.policies.diffusion import PAPER, RELEASED, DecoderConfig, decode, draw_noise, mask_schedule

WORDS = 40
MASK = WORDS + 1


def network(length, seed=0, scale=2.0):
    """Logits [1, L, WORDS] that depend on every token of the sequence."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(length, WORDS))
    table = rng.normal(size=(MASK + 1, WORDS))
    mixing = rng.normal(size=(length, length)) / math.sqrt(length)

    def logits(tokens):
        return scale * (own + mixing @ table[np.asarray(tokens)])

    return logits


def left_after(step, rounds, length):
    """Step 3 of the released loop: every number is a float32, and the clamp forbids 0 and all."""
    ratio = torch.tensor(float(step + 1) / rounds)
    share = torch.cos(ratio * math.pi * 0.5).clamp(1e-6, 1.0)
    return int(torch.floor(torch.tensor(float(length)) * share).long().clamp(1, length - 1))


def draw(weights, uniform):
    """Multinomial by inverse cumulative sum, the draw that our noise stands for."""
    total, reached = weights.sum(), 0.0
    for token, weight in enumerate(weights):
        reached += weight
        if uniform * total < reached:
            return token
    return len(weights) - 1


def released(logits, length, rounds, order, token, tau=1.0, greedy=False):
    """The five steps of every round for one row → the ids that each evaluation saw, and the result.

    `order` and `token` are the uniform numbers [T, L] behind Gumbel noise and multinomial.
    """
    known, seen = {}, []
    for step in range(rounds):
        ids = [known.get(place, MASK) for place in range(length)]
        seen.append(ids)
        rows = np.exp(logits(ids) - logits(ids).max(1, keepdims=True))
        rows /= rows.sum(1, keepdims=True)
        drawn = rows.argmax(1) if greedy else [draw(*pair) for pair in zip(rows, token[step], strict=True)]
        sampled = [known.get(place, int(drawn[place])) for place in range(length)]
        falling = tau * (1 - (step + 1) / rounds)
        scores = []
        for place in range(length):
            noise = -math.log(-math.log(order[step, place])) if falling else 0.0
            own = math.log(rows[place, sampled[place]]) + falling * noise
            scores.append(math.inf if place in known else own)
        threshold = sorted(scores)[left_after(step, rounds, length)]
        known = {place: sampled[place] for place in range(length) if scores[place] >= threshold}
    return seen, sampled


def ours(logits, length, config, noise):
    seen = []

    def watched(tokens):
        seen.append(tokens[0].tolist())
        return torch.from_numpy(logits(tokens[0].tolist()))[None]

    return seen, decode(watched, length, config, noise, mask_id=MASK).tokens[0].tolist()


@pytest.mark.parametrize("length", [56, 21, 7])
@pytest.mark.parametrize("rounds", [12, 9, 4, 1])
def test_every_round_sees_what_the_released_loop_sees(length, rounds):
    config = replace(RELEASED, rounds=rounds)
    for seed in range(3):
        noise = draw_noise([torch.Generator().manual_seed(seed)], config, length)
        order, token = (x[0].double().numpy() for x in (noise.order, noise.token))
        wanted, result = released(network(length, seed), length, rounds, order, token)
        seen, found = ours(network(length, seed), length, config, noise)
        assert found == result and MASK not in found
        # a round that commits nothing leaves the ids as they are, and we leave the round out
        changed = [ids for ids, before in zip(wanted, [None, *wanted], strict=False) if ids != before]
        assert seen == changed


def test_the_deterministic_mode_is_the_released_loop_without_chance():
    config = replace(RELEASED, sample="argmax", temperature=0.0)
    assert config.deterministic and not RELEASED.deterministic
    noise = draw_noise([torch.Generator()], config, 56)
    empty = np.zeros((12, 56))
    wanted, result = released(network(56), 56, 12, empty, empty, tau=0.0, greedy=True)
    seen, found = ours(network(56), 56, config, noise)
    assert (seen, found) == (wanted, result)


def test_the_released_schedule_has_its_quirk():
    assert mask_schedule(12, 56, "float32") == [55, 54, 51, 48, 44, 39, 34, 27, 21, 14, 7, 0]
    assert mask_schedule(12, 56)[7] == 28
    for rounds in range(2, 40):
        for length in (7, 21, 56, 175):
            wanted = [left_after(step, rounds, length) for step in range(rounds - 1)]
            assert mask_schedule(rounds, length, "float32") == [*wanted, 0]


def test_ties_at_the_threshold_all_commit():
    """Equal probabilities everywhere: the first round commits all, ours without the preset one by one."""
    flat = lambda tokens: np.zeros((56, WORDS))  # noqa: E731
    config = replace(RELEASED, sample="argmax", temperature=0.0)
    blank = draw_noise([torch.Generator()], config, 56)
    empty = np.zeros((12, 56))
    wanted, _ = released(flat, 56, 12, empty, empty, tau=0.0, greedy=True)
    seen, _ = ours(flat, 56, config, blank)
    assert seen == wanted and MASK not in seen[1]
    seen, _ = ours(flat, 56, replace(config, ties="index"), blank)
    assert [ids.count(MASK) for ids in seen] == [56, 55, 54, 51, 48, 44, 39, 34, 27, 21, 14, 7]


def test_the_paper_s_decoder_doubts_what_it_committed():
    noise = draw_noise([torch.Generator().manual_seed(0)], PAPER, 56)
    unsure = network(56, scale=0.5)

    def logits(tokens):
        return torch.from_numpy(unsure(tokens[0].tolist()))[None]

    assert decode(logits, 56, PAPER, noise, mask_id=MASK).remasked.item() > 0
    assert decode(logits, 56, RELEASED, noise, mask_id=MASK).remasked.item() == 0
    with pytest.raises(ValueError, match="schedule"):
        DecoderConfig(schedule="linear")
    with pytest.raises(ValueError, match="ties"):
        DecoderConfig(ties="none")
