"""Intervals and tests against published values and against SciPy."""

from __future__ import annotations

import pytest
from scipy import stats

from playloop.core.statistics import (
    Pairs,
    mcnemar_exact,
    mean_of_means,
    paired_difference,
    rate_of,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (18, 20), (1961, 2000)])
def test_wilson_agrees_with_scipy_and_is_symmetric(successes, trials):
    theirs = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    low, high = wilson(trials - successes, trials)
    assert wilson(successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_at_the_ends():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0
    with pytest.raises(ValueError, match="cannot be"):
        wilson(3, 2)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 5), (2, 12), (9, 9), (40, 61)])
def test_mcnemar_is_the_two_sided_binomial_test(first, second):
    total = first + second
    expected = stats.binomtest(first, total).pvalue if total else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, abs=1e-12)
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [  # Newcombe 1998, "Improved confidence intervals … based on paired data", table II, method 10
        (Pairs(36, 12, 2, 0), 0.0569, 0.3404),
        (Pairs(1, 97, 1, 1), 0.8737, 0.9850),
        (Pairs(54, 0, 0, 0), -0.0664, 0.0664),
    ],
)
def test_paired_difference_gives_the_published_intervals(pairs, low, high):
    difference, *ends = paired_difference(pairs)
    assert difference == pytest.approx((pairs.only_first - pairs.only_second) / pairs.total)
    assert ends == pytest.approx([low, high], abs=2e-4)


def test_paired_difference_changes_sign_with_the_order():
    difference, low, high = paired_difference(Pairs(20, 9, 3, 8))
    assert paired_difference(Pairs(20, 3, 9, 8)) == pytest.approx((-difference, -high, -low))
    assert paired_difference(Pairs(0, 0, 0, 0)) == (0.0, -1.0, 1.0)


# Averages, means of means by hand


def test_groups_weigh_alike_however_large_they_are():
    parts = [rate_of("few", [True, False]), rate_of("many", [True] * 8)]
    found = mean_of_means("both", parts, published=10)
    assert found["rate"] == 0.75 and found["episodes"] == 10 and found["complete"]
    assert found["groups"] == {"few": 0.5, "many": 1.0}
    assert found["effective"] == pytest.approx(4 / (1 / 2 + 1 / 8))
    assert not mean_of_means("both", parts, published=11)["complete"]


def test_equal_groups_have_the_plain_interval():
    parts = [rate_of("a", [True] * 5 + [False] * 5), rate_of("b", [True] * 9 + [False])]
    assert mean_of_means("both", parts)["wilson95"] == pytest.approx(wilson(14, 20))


def test_a_mean_of_means_of_means_keeps_what_is_missing():
    whole = mean_of_means("whole", [rate_of("a", [True] * 4)], published=4)
    part = mean_of_means("part", [rate_of("a", [False] * 4)], published=8)
    found = mean_of_means("both", [whole, part])
    assert found["rate"] == 0.5 and not found["complete"] and found["groups"] == {"whole": 1.0, "part": 0.0}


def test_nothing_has_no_average():
    with pytest.raises(ValueError, match="at least one group"):
        mean_of_means("none", [])
