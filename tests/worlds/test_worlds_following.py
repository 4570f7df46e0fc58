"""Scores of action following: scikit-learn's, right at the extremes, lowest where actions are shifted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from playloop.core.minecraft import ACTION_SIZE, action_vector
from playloop.tokenizers.camera import VPT
from playloop.tokenizers.minecraft import choose
from playloop.worlds.following import (
    TASKS,
    camera_errors,
    compare,
    confusion,
    macro,
    share_of_ceiling,
    shifted,
)


def random_actions(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = (rng.random((count, ACTION_SIZE)) < 0.2).astype(np.float32)
    vectors[:, -2:] = rng.normal(0, 4, (count, 2))
    return vectors


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_counts_and_scores_are_scikit_learns(classes, seed):
    rng = np.random.default_rng(seed)
    asked = rng.integers(0, classes - (seed == 1), 200)  # seed 1: a class is never asked for
    told = np.where(rng.random(200) < 0.5, asked, rng.integers(0, classes - (seed == 2), 200))
    counts = confusion(asked, told, classes)
    assert np.array_equal(counts, confusion_matrix(asked, told, labels=range(classes)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = precision_recall_fscore_support(asked, told, average="macro", zero_division=0)
    found = macro(counts)
    np.testing.assert_allclose((found.precision, found.recall, found.f1), expected[:3])


def test_a_class_that_never_occurs_does_not_count():
    scores = macro(confusion(np.array([0, 2, 2]), np.array([0, 2, 2]), 3))
    assert (scores.precision, scores.recall, scores.f1) == (1.0, 1.0, 1.0)


def test_the_tasks_are_scored_one_by_one():
    asked, told = random_actions(400, 1), random_actions(400, 2)
    found = compare(asked, told)
    assert list(found.tasks) == [
        "back-forward",
        "left-right",
        "sneak-sprint",
        "use",
        "attack",
        "jump",
        "drop",
    ]
    for keys, scores in zip(TASKS, found.tasks.values(), strict=True):
        expected = precision_recall_fscore_support(choose(asked, keys), choose(told, keys), average="macro")
        np.testing.assert_allclose((scores.precision, scores.recall, scores.f1), expected[:3])
    assert found.mean.f1 == pytest.approx(np.mean([task.f1 for task in found.tasks.values()]))
    assert found.actions == 400


def test_the_truth_scores_one_and_its_opposite_nothing():
    asked = random_actions(300)
    truth = compare(asked, asked)
    assert truth.mean.f1 == 1.0 and truth.degrees == 0.0 and truth.bins == 0.0
    opposite = asked.copy()
    opposite[:, :-2] = 1 - asked[:, :-2]
    assert compare(asked, opposite).tasks["jump"].f1 == 0.0
    assert set(share_of_ceiling(truth, truth).values()) == {1.0}


def test_both_keys_of_a_pair_are_none():
    both, none = action_vector({"forward": 1, "back": 1}), action_vector({})
    assert compare(both[None], none[None]).tasks["back-forward"].f1 == 1.0
    assert compare(action_vector({"forward": 1})[None], both[None]).tasks["back-forward"].f1 == 0.0


def test_camera_errors_in_degrees_and_bins():
    asked, told = np.array([[0.0, 3.215], [10.0, 0.0]]), np.array([[0.5, -3.215], [90.0, 0.0]])
    degrees, bins = camera_errors(asked, told)
    assert degrees == pytest.approx((0.5 + 6.43 + 80 + 0) / 4)
    assert bins == pytest.approx((abs(VPT.encode(np.array(0.5)) - VPT.zero) + 6 + 0 + 0) / 4)


def test_the_share_of_a_ceiling():
    asked = random_actions(500)
    worse, limit = compare(asked, random_actions(500, 3)), compare(asked, asked)
    assert share_of_ceiling(worse, limit)["mean"] == pytest.approx(worse.mean.f1)
    nothing = compare(action_vector({"jump": 1})[None], action_vector({})[None])
    assert np.isnan(share_of_ceiling(worse, nothing)["jump"])


def test_a_shift_shows():
    asked = [random_actions(16, seed) for seed in range(10)]
    by = {shift: shifted(asked, asked, shift) for shift in (-1, 0, 1)}
    assert by[0].mean.f1 == 1.0 and by[0].actions == 160 and by[1].actions == by[-1].actions == 150
    assert max(by[1].mean.f1, by[-1].mean.f1) < 0.7
    late = [np.concatenate([vectors[1:], vectors[:1]]) for vectors in asked]
    assert shifted(late, asked, -1).mean.f1 == 1.0
