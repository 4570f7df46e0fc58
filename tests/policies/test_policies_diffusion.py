"""The decoder against a slow reference, its schedule, and what it promises about rows and ids."""

import math

import numpy as np
import pytest
import torch

from playloop.policies.diffusion import (
    DecoderConfig,
    Noise,
    choose,
    confidence,
    decode,
    draw_noise,
    mask_schedule,
)

L, V, MASK = 20, 16, 16


def network(seed: int = 0, scale: float = 3.0):
    """A small function of the tokens whose rows do not mix: every position looks at all others of its row."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(L, V)).astype(np.float32)
    table = rng.normal(size=(V + 1, V)).astype(np.float32) / math.sqrt(L)
    mixing = rng.normal(size=(L, L)).astype(np.float32)

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        rows = [own + mixing @ table[row] for row in tokens.numpy()]
        return torch.from_numpy(scale * np.stack(rows))

    return logits


def slow_decode(logits_fn, config: DecoderConfig, legal: np.ndarray) -> np.ndarray:
    """The deterministic mode written down plainly, one row, in NumPy."""
    tokens = np.full(L, MASK)
    for step in range(config.rounds):
        last = step == config.rounds - 1
        ratio = (step + 1) / config.rounds
        left = 0 if last else min(max(int(L * math.cos(math.pi / 2 * ratio) + 1e-9), 1), L - 1)
        logits = np.where(legal, logits_fn(torch.from_numpy(tokens)[None])[0].numpy(), -np.inf)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        probabilities = weights / weights.sum(1, keepdims=True)
        sureness = np.sort(probabilities)[:, -1]
        if config.order == "gap":
            sureness = sureness - np.sort(probabilities)[:, -2]
        unknown = [p for p in range(L) if tokens[p] == MASK]
        for p in sorted(unknown, key=lambda p: (-sureness[p], p))[: len(unknown) - left]:
            tokens[p] = int(np.argmax(probabilities[p]))
    return tokens


def blank(rows: int, config: DecoderConfig) -> Noise:
    return draw_noise(seeds(*range(rows)), config, L)


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def test_schedule_of_56_tokens():
    assert mask_schedule(12, 56) == [55, 54, 51, 48, 44, 39, 34, 28, 21, 14, 7, 0]
    assert mask_schedule(8, 56) == [54, 51, 46, 39, 31, 21, 10, 0]
    assert mask_schedule(4, 56) == [51, 39, 21, 0]
    assert mask_schedule(2, 56) == [39, 0]
    assert mask_schedule(1, 56) == [0]
    assert mask_schedule(12, 21) == [20, 20, 19, 18, 16, 14, 12, 10, 8, 5, 2, 0]


@pytest.mark.parametrize("rounds", range(1, 30))
def test_schedule_never_rises(rounds):
    for length in (1, 2, 7, 56):
        schedule = mask_schedule(rounds, length)
        assert len(schedule) == rounds and schedule[-1] == 0 and schedule[0] < length
        assert schedule == sorted(schedule, reverse=True)


@pytest.mark.parametrize("rounds", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("order", ["max", "gap"])
def test_deterministic_mode_equals_the_slow_reference(rounds, order):
    config = DecoderConfig(rounds, order, temperature=0)
    legal = np.random.default_rng(5).random((L, V)) > 0.4
    legal[:, 3] = True
    for seed in range(5):
        found = decode(
            network(seed), L, config, blank(1, config), mask_id=MASK, legal=torch.from_numpy(legal)
        )
        assert found.tokens[0].tolist() == slow_decode(network(seed), config, legal).tolist()


def test_ties_go_to_the_lowest_index():
    config = DecoderConfig(4, temperature=0)
    seen = []

    def flat(tokens):
        seen.append((tokens[0] == MASK).tolist())
        return torch.zeros(1, L, V)

    found = decode(flat, L, config, blank(1, config), mask_id=MASK)
    assert found.tokens.tolist() == [[0] * L]
    left = [L, *mask_schedule(4, L)[:-1]]
    assert seen == [[False] * (L - n) + [True] * n for n in left]


ALL = [
    DecoderConfig(6),
    DecoderConfig(6, "gap", sample="multinomial"),
    DecoderConfig(6, "sampled", sample="multinomial", token_temperature=2.0),
    DecoderConfig(6, "random", temperature=0),
    DecoderConfig(6, temperature=0),
    DecoderConfig(6, sample="multinomial", remask_threshold=0.9, remask_drop=0.05),
]


@pytest.mark.parametrize("config", ALL)
def test_everything_is_filled_with_legal_ids_and_a_row_ignores_its_neighbours(config):
    legal = torch.rand(L, V, generator=torch.Generator().manual_seed(3)) > 0.5
    legal[:, 2] = True
    legal[4] = torch.arange(V) == 9
    together = decode(network(), L, config, draw_noise(seeds(1, 2, 3), config, L), mask_id=MASK, legal=legal)
    assert legal[torch.arange(L), together.tokens].all()
    assert (together.tokens[:, 4] == 9).all()
    assert ((together.confidence > 0) & (together.confidence <= 1)).all()
    assert together.evaluations == 6
    for row, seed in enumerate((1, 2, 3)):
        alone = decode(network(), L, config, draw_noise(seeds(seed), config, L), mask_id=MASK, legal=legal)
        assert torch.equal(alone.tokens[0], together.tokens[row])
        assert torch.equal(alone.confidence[0], together.confidence[row])
    again = decode(network(), L, config, draw_noise(seeds(3, 1, 2), config, L), mask_id=MASK, legal=legal)
    assert torch.equal(again.tokens, together.tokens[[2, 0, 1]])
    if not config.deterministic:
        other = decode(network(), L, config, draw_noise(seeds(7, 8, 9), config, L), mask_id=MASK, legal=legal)
        assert config.sample == "argmax" or not torch.equal(other.tokens, together.tokens)


@pytest.mark.parametrize("order", ["random", "max"])
def test_noise_changes_the_order_of_committing(order):
    config = DecoderConfig(5, order)

    def trace(seed):
        seen = []

        def watched(tokens):
            seen.append((tokens == MASK).tolist())
            return network()(tokens)

        decode(watched, L, config, draw_noise(seeds(seed), config, L), mask_id=MASK)
        return seen

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)
    assert [sum(row) for (row,) in trace(1)] == [L, *mask_schedule(5, L)[:-1]]


def test_token_temperature_flattens():
    logits = torch.tensor([4.0, 0.0]).expand(1, 4000, 2)
    shares = []
    for temperature in (0.5, 1.0, 4.0):
        config = DecoderConfig(1, sample="multinomial", token_temperature=temperature)
        noise = draw_noise(seeds(0), config, 4000)
        found = decode(lambda tokens: logits, 4000, config, noise, mask_id=2)
        shares.append(float(found.tokens.float().mean()))
    expected = [1 / (1 + math.exp(4 / temperature)) for temperature in (0.5, 1.0, 4.0)]
    assert np.allclose(shares, expected, atol=0.02)


def turncoat(believed: int, after: int):
    """Sure of id 1 at position 0 until `after` positions are known, then of id 2 there."""

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        result = torch.zeros(*tokens.shape, V)
        result[..., 0] = 1.0
        late = (tokens != MASK).sum(-1) >= after
        result[:, believed] = 0
        result[:, believed, 1] = torch.where(late, 0.0, 9.0)
        result[:, believed, 2] = torch.where(late, 9.0, 0.0)
        return result

    return logits


@pytest.mark.parametrize(
    "changes",
    [{"remask_threshold": 0.5}, {"remask_drop": 0.5}, {"remask_threshold": 0.2, "remask_drop": 0.9}],
)
def test_remasking_takes_back_what_is_no_longer_believed(changes):
    plain, config = DecoderConfig(8, temperature=0), DecoderConfig(8, temperature=0, **changes)
    kept = decode(turncoat(5, 8), L, plain, blank(1, plain), mask_id=MASK)
    taken = decode(turncoat(5, 8), L, config, blank(1, config), mask_id=MASK)
    assert kept.tokens[0, 5] == 1 and kept.remasked.tolist() == [0]
    assert taken.tokens[0, 5] == 2 and taken.remasked.item() >= 1
    assert (taken.tokens != MASK).all()


def test_remasking_terminates_when_nothing_is_ever_believed():
    config = DecoderConfig(8, remask_threshold=1.0, remask_drop=0.0, sample="multinomial")
    found = decode(network(), L, config, draw_noise(seeds(0, 1), config, L), mask_id=MASK)
    assert (found.tokens != MASK).all() and found.evaluations == 8 and (found.remasked > 0).all()


def test_a_round_that_commits_nothing_costs_nothing():
    config = DecoderConfig(12, temperature=0)
    calls = []

    def counted(tokens):
        calls.append(int((tokens == MASK).sum()))
        return torch.zeros(1, 21, V)

    found = decode(counted, 21, config, draw_noise(seeds(0), config, 21), mask_id=MASK)
    assert found.evaluations == 11 and calls == [21, 20, 19, 18, 16, 14, 12, 10, 8, 5, 2]


def test_confidences():
    probabilities = torch.tensor([[[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]])
    tokens = torch.tensor([[1, 2]])
    for kind, expected in {
        "max": [0.5, 0.8],
        "gap": [0.2, 0.7],
        "sampled": [0.3, 0.8],
        "random": [1, 1],
    }.items():
        assert torch.allclose(
            confidence(kind, probabilities, tokens), torch.tensor([expected], dtype=torch.float32)
        )


def test_committed_positions_stay_known():
    masked = torch.tensor([[True, False, True, True]])
    sure = torch.tensor([[0.9, 0.0, 0.8, 0.1]])
    known = choose(sure, masked, torch.zeros(1, 4), temperature=0.0, remaining=2)
    assert known.tolist() == [[True, True, False, False]]


@pytest.mark.parametrize(
    "bad",
    [
        {"rounds": 0},
        {"rounds": 2.5},
        {"order": "best"},
        {"sample": "beam"},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"token_temperature": 0.0},
        {"remask_drop": "a bit"},
    ],
)
def test_bad_parameters_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        DecoderConfig(**bad)
