import json

import numpy as np
import pytest
import torch

from playloop.tokenizers.actions import (
    ActionTokenizer,
    UniformBins,
)
from playloop.tokenizers.grippers import ROBOSUITE
from playloop.tokenizers.normalizer import QuantileNormalizer, compute_statistics


@pytest.fixture(scope="module")
def statistics():
    rng = np.random.default_rng(0)
    actions = rng.normal(0, 0.3, (4000, 7))
    actions[:, 4] = 0.25  # a dimension that never varies
    actions[:, 6] = np.sign(actions[:, 6])
    return compute_statistics(actions, rng.normal(size=(4000, 8)))


@pytest.mark.parametrize("vocabulary", [256, 32000])
def test_every_center_and_id_round_trips(vocabulary):
    bins = UniformBins(vocabulary)
    ids = torch.tensor(bins.ids)
    assert bins.encode(bins.centers).tolist() == list(range(vocabulary - 1, vocabulary - 256, -1))
    assert torch.equal(bins.decode(bins.encode(bins.centers)), bins.centers)
    assert bins.encode(bins.decode(ids)).tolist() == [int(ids[1]), *ids[1:].tolist()]


@pytest.mark.parametrize("vocabulary", [256, 32000])
def test_ids_equal_numpy_digitize(vocabulary):
    bins = UniformBins(vocabulary)
    edges = np.linspace(-1, 1, 256)
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.uniform(-1.3, 1.3, 5000), edges, [-1.0, 1.0, 0.0]])
    for typed in (values, values.astype(np.float32)):
        expected = vocabulary - np.digitize(np.clip(typed.astype(np.float64), -1, 1), edges)
        assert bins.encode(torch.from_numpy(typed)).tolist() == expected.tolist()
    assert {expected.min(), expected.max()} == {vocabulary - 256, vocabulary - 1}


def test_foreign_ids_decode_to_the_ends():
    bins = UniformBins(32000)
    top, bottom = bins.centers[-1], bins.centers[0]
    assert bins.decode(torch.tensor([0, 31743, 31744, 31745])).tolist() == [top] * 4
    assert bins.decode(torch.tensor([31999, 32000, 32063])).tolist() == [bottom] * 3
    assert round(float(top), 5) == 0.99608


def test_gripper_uses_the_two_ids_of_openvla():
    raw = torch.tensor([-1.0, 1.0])
    assert ROBOSUITE.target(raw).tolist() == [1.0, 0.0]
    assert UniformBins(32000).encode(ROBOSUITE.target(raw)).tolist() == [31744, 31872]
    assert torch.equal(ROBOSUITE.command(ROBOSUITE.target(raw)), raw.double())


def test_chunk_round_trips_on_every_center(statistics):
    tokenizer = ActionTokenizer.from_statistics(statistics["action"])
    ids = torch.arange(1, 256)[:, None].repeat(1, 56)
    ids[:, 6::7] = torch.tensor([0, 128]).repeat(128)[:255, None]
    ids[:, 4::7] = 128  # never varied: always the middle bin
    assert tokenizer.length == 56
    assert torch.equal(tokenizer.encode(tokenizer.decode(ids)), ids)
    actions = tokenizer.decode(ids)
    assert actions.shape == (255, 8, 7)
    assert set(actions[..., 6].flatten().tolist()) == {-1.0, 1.0}
    assert torch.allclose(actions[..., 4], torch.tensor(0.25, dtype=torch.float64), atol=1e-7)
    assert torch.allclose(tokenizer.decode(tokenizer.encode(actions)), actions, atol=1e-12, rtol=0)


def test_quantization_error_is_at_most_half_a_bin(statistics):
    tokenizer = ActionTokenizer.from_statistics(statistics["action"])
    normalizer = tokenizer.normalizer
    rng = np.random.default_rng(2)
    actions = torch.from_numpy(rng.uniform(normalizer.q01, normalizer.q99, (500, 8, 7)))
    actions[..., 6] = actions[..., 6].sign()
    error = (tokenizer.decode(tokenizer.encode(actions)) - actions).abs().amax((0, 1)).numpy()
    assert (error[:6] <= (normalizer.q99 - normalizer.q01)[:6] / 2 / 255 + 1e-7).all()
    assert error[6] == 0


def test_legal_ids(statistics):
    legal = ActionTokenizer.from_statistics(statistics["action"]).legal_ids()
    assert legal.shape == (56, 256)
    assert legal.sum(1).tolist() == [256] * 6 * 1 + [2] + ([256] * 6 + [2]) * 7
    assert legal[6].nonzero().flatten().tolist() == [0, 128]


def test_wrong_shape_names_the_right_one(statistics):
    with pytest.raises(ValueError, match=r"\[\.\.\., 8, 7\]"):
        ActionTokenizer.from_statistics(statistics["action"]).encode(torch.zeros(2, 7, 8))


def test_statistics_survive_json(statistics):
    again = json.loads(json.dumps(statistics))
    assert again == statistics
    assert again["action"]["count"] == 4000 and len(again["state"]["q99"]) == 8
    assert again["action"]["mask"] == [True] * 6 + [False]
    one, two = (QuantileNormalizer.from_statistics(s["action"]) for s in (statistics, again))
    values = torch.randn(100, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.normalize(values), two.normalize(values))


def test_normalizer_inverts_and_clips(statistics):
    normalizer = QuantileNormalizer.from_statistics(statistics["state"], limit=1.5)
    inside = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)[:, None].repeat(1, 8)
    assert torch.allclose(normalizer.normalize(normalizer.restore(inside)), inside, atol=1e-12, rtol=0)
    assert normalizer.normalize(torch.full((8,), 1e6)).tolist() == [1.5] * 8


@pytest.mark.parametrize(
    "broken", [{"q01": [0.0]}, {"q01": [0.0, 1.0], "q99": [1.0]}, {"q01": [1.0], "q99": [0.0]}]
)
def test_broken_statistics_are_refused(broken):
    with pytest.raises(ValueError, match=r"q01|q99"):
        QuantileNormalizer.from_statistics(broken)


def test_non_finite_actions_are_refused():
    with pytest.raises(ValueError, match="finite"):
        compute_statistics(np.full((3, 7), np.nan), np.zeros((3, 8)))


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.0, 255.0), (-1.0, 0.0), (0.0, 0.0), (-2.0, 2.0)])
def test_grippers_with_other_commands_are_refused(statistics, ends):
    record = json.loads(json.dumps(statistics["action"]))
    record["min"][-1], record["max"][-1] = ends
    with pytest.raises(ValueError, match=r"gripper \(action 6\) goes from .* its commands are -1 and 1"):
        ActionTokenizer.from_statistics(record)


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (1.0, 1.0), (-1.0, -1.0), (-0.4, 0.7)])
def test_grippers_with_our_commands_are_read(statistics, ends):
    record = json.loads(json.dumps(statistics["action"]))
    record["min"][-1], record["max"][-1] = ends
    ActionTokenizer.from_statistics(record)


def test_grippers_are_told_by_name():
    values = np.random.default_rng(0).uniform(-1, 1, (100, 3))
    assert compute_statistics(values, values, ("x", "gripper_left", "y"))["action"]["mask"] == [
        True,
        False,
        True,
    ]
    assert compute_statistics(values, values, ("x", "y", "z"))["action"]["mask"] == [True] * 3
    assert compute_statistics(values, values)["action"]["mask"] == [True, True, False]
    with pytest.raises(ValueError, match="3 actions cannot have the names x, y"):
        compute_statistics(values, values, ("x", "y"))
