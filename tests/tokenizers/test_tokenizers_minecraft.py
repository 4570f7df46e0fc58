import numpy as np
import pytest

from playloop.core.minecraft import ACTION_SIZE, action_vector
from playloop.tokenizers.camera import FINE, MINEWORLD, MINEWORLD_COMPAT, VPT, CameraBins
from playloop.tokenizers.minecraft import CompactActions, MineWorldActions, clean_conflicts

ALL = [CompactActions(), MineWorldActions(), MineWorldActions(camera=MINEWORLD_COMPAT)]
NULL = 8258
GOLDEN = [
    ({}, [8257, 8225, 8246, *[NULL] * 7, 8259]),
    (
        {"forward": 1, "sprint": 1, "camera": (0, 5)},
        [8257, 8225, 8248, NULL, 8194, NULL, 8200, NULL, NULL, NULL, 8259],
    ),
    (
        {"forward": 1, "back": 1, "attack": 1, "jump": 1, "hotbar.3": 1, "camera": (-90, 90)},
        [8257, 8215, 8256, 8208, NULL, NULL, NULL, 8193, 8198, NULL, 8259],
    ),
    (
        {"use": 1, "pickItem": 1, "sneak": 1, "left": 1, "camera": (1, -1)},
        [8257, 8225, 8246, NULL, NULL, 8196, 8199, 8192, NULL, 8203, 8259],
    ),
]


@pytest.mark.parametrize(("action", "ids"), GOLDEN)
def test_mineworlds_golden_actions(action, ids):
    assert MineWorldActions(camera=MINEWORLD_COMPAT).encode(action_vector(action)).tolist() == ids


def test_mineworlds_ids():
    tokenizer = MineWorldActions()
    assert (tokenizer.ids[0], tokenizer.ids[-1], tokenizer.begin) == (8192, 8259, 8257)
    assert tokenizer.cameras == (8215, 8236)


@pytest.mark.parametrize(
    ("bins", "count", "positive"),
    [
        (MINEWORLD, 21, [2.25, 5.15, 8.87, 13.67, 19.85, 27.80, 38.04, 51.21, 68.17, 90.0]),
        (VPT, 11, [0.615, 1.61, 3.2, 5.8, 10.0]),
    ],
)
def test_published_centres(bins, count, positive):
    assert bins.count == count
    np.testing.assert_allclose(bins.centers[bins.zero + 1 :], positive, atol=0.02)
    np.testing.assert_allclose(bins.centers, -bins.centers[::-1])


def test_upper_edges_of_mineworlds_bins():
    edges = [1.05, 3.60, 6.89, 11.12, 16.56, 23.57, 32.59, 44.20, 59.15, 78.39]
    for number, edge in enumerate(edges):
        assert MINEWORLD.encode(np.array([edge - 0.02, edge + 0.02])).tolist() == [10 + number, 11 + number]


@pytest.mark.parametrize("bins", [FINE, MINEWORLD, MINEWORLD_COMPAT, VPT])
def test_bins_are_exact_on_their_centres(bins):
    assert bins.encode(bins.centers).tolist() == list(range(bins.count))


def test_ours_keeps_turns_that_the_release_loses():
    assert MINEWORLD_COMPAT.encode(np.array([1.95, -1.95])).tolist() == [10, 10]
    assert len(set(FINE.encode(np.array([-1.4, -0.8, -0.3, 0.0, 0.3, 0.8, 1.4])))) == 7


def test_uneven_bins_are_refused():
    with pytest.raises(ValueError, match="divisor"):
        CameraBins(90, 7, 10)


@pytest.mark.parametrize("tokenizer", ALL, ids=["compact", "mineworld", "compat"])
def test_decode_and_encode_are_inverses(tokenizer):
    rng = np.random.default_rng(0)
    vectors = (rng.random((500, ACTION_SIZE)) < 0.2).astype(np.float32)
    vectors[:, -2:] = rng.normal(0, 8, (500, 2))
    tokens = tokenizer.encode(vectors)
    again = tokenizer.decode(tokens)
    np.testing.assert_array_equal(tokenizer.encode(again), tokens)
    np.testing.assert_array_equal(tokenizer.decode(tokenizer.encode(again)), again)


def test_classes_stay_in_their_sizes():
    tokenizer = CompactActions()
    assert tokenizer.sizes == (10, 3, 3, 3, 3, 2, 3, 31, 31)
    vectors = np.ones((1, ACTION_SIZE)) * [[*[1] * 23, 180, -180]]
    assert (tokenizer.encode(vectors) < np.array(tokenizer.sizes)).all()


def test_mineworlds_rule_for_several_keys():
    held = action_vector({"sneak": 1, "sprint": 1, "hotbar.2": 1, "hotbar.7": 1, "use": 1, "attack": 1})
    assert MineWorldActions().encode(held)[3:10].tolist() == [8207, *[NULL] * 6]


def test_conflicting_keys_cancel_each_other():
    held = action_vector({"jump": 1, "sneak": 1, "sprint": 1, "forward": 1, "attack": 1})
    cleaned = clean_conflicts(held)
    assert cleaned.sum() == 2 and not (cleaned != action_vector({"forward": 1, "attack": 1})).any()
    assert held.sum() == 5


@pytest.mark.parametrize("tokenizer", ALL[:2])
def test_a_wrong_shape_is_named(tokenizer):
    with pytest.raises(ValueError, match="25"):
        tokenizer.encode(np.zeros((2, 24)))


def test_an_id_in_the_wrong_place_is_named():
    ids = MineWorldActions().encode(action_vector({"jump": 1}))
    ids[3] = 8198
    with pytest.raises(ValueError, match="slot 3"):
        MineWorldActions().decode(ids)
