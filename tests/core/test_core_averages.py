"""Means of means, by hand."""

import pytest

from playloop.core.averages import mean_of_means, rate_of
from playloop.core.statistics import wilson


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
