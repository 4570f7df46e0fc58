"""Rank violation and correlation, against the published figures and by hand."""

import json
import math

import pytest

from playloop.core.episode import Episode
from playloop.core.results import EpisodeResult
from playloop.envs.simpler.published import REAL, SIMULATED
from playloop.rollouts.agreement import (
    agreement,
    agreement_table,
    correlation,
    rank_violation,
    simulated_outcomes,
)

PUBLISHED = {
    "pick_coke_can": (0.031, 0.975),
    "move_near": (0.111, 0.856),
    "open_drawer": (0.0, 0.983),
    "close_drawer": (0.123, 0.771),
    "place_apple_in_drawer": (0.0, 0.969),
    "spoon_on_towel": (0.0, 0.827),
    "carrot_on_plate": (0.111, 0.571),
    "stack_cube": (0.0, 1.0),
    "eggplant_in_basket": (0.0, 0.989),
}


@pytest.mark.parametrize("task", PUBLISHED)
def test_the_published_figures_follow_from_the_published_tables(task):
    found = agreement(SIMULATED[task], REAL[task])
    assert (found.mmrv, found.pearson) == pytest.approx(PUBLISHED[task], abs=1.1e-3)
    assert set(found.policies) == set(REAL[task])


def test_a_violation_weighs_as_much_as_the_real_rates_differ():
    assert rank_violation([0.1, 0.2, 0.3], [0.2, 0.5, 0.9]) == 0.0
    assert rank_violation([0.3, 0.2, 0.1], [0.2, 0.5, 0.9]) == pytest.approx((0.7 + 0.4 + 0.7) / 3)
    # Policies 0 and 1 change places; each is violated by the other alone.
    assert rank_violation([0.2, 0.1, 0.9], [0.3, 0.5, 0.9]) == pytest.approx(2 * 0.2 / 3)
    # Equal in simulation, 0.4 apart in reality: the better one's order is missed, the other's is not.
    assert rank_violation([0.5, 0.5], [0.2, 0.6]) == pytest.approx(0.4 / 2)


def test_policies_are_matched_by_name_and_order_does_not_matter():
    one = agreement({"a": 0.1, "b": 0.9, "other": 0.5}, {"b": 0.7, "a": 0.3})
    assert one == agreement({"a": 0.1, "b": 0.9}, {"a": 0.3, "b": 0.7}) and one.policies == ("a", "b")
    assert (one.mmrv, one.pearson) == (0.0, pytest.approx(1.0))
    with pytest.raises(ValueError, match="fewer than two"):
        agreement({"a": 0.1}, {"a": 0.3, "b": 0.7})


def test_what_does_not_vary_has_no_correlation():
    assert math.isnan(correlation([0.5, 0.5], [0.1, 0.2]))
    assert correlation([0.0, 1.0], [0.9, 0.1]) == pytest.approx(-1.0)


def _run(folder, wins, protocol="visual matching"):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"contract": {"protocol": protocol}}))
    lines = [
        json.dumps(EpisodeResult(Episode("bridge", task, init), init < won, 60, 0.0).to_json())
        for task, won in enumerate(wins)
        for init in range(4)
    ]
    (folder / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_rates_of_runs_are_ranked_against_the_real_robots(tmp_path):
    runs = {"rt-1-x": _run(tmp_path / "a", (0, 0)), "octo-base": _run(tmp_path / "b", (1, 0))}
    assert simulated_outcomes(runs) == {
        "spoon_on_towel": {"rt-1-x": [False] * 4, "octo-base": [True, False, False, False]},
        "carrot_on_plate": {"rt-1-x": [False] * 4, "octo-base": [False] * 4},
    }
    table = agreement_table(runs)
    assert list(table.columns[2].cells) == [
        "0.000",
        f"{agreement({'rt-1-x': 0.0, 'octo-base': 0.0}, REAL['carrot_on_plate']).mmrv:.3f}",
    ]
    assert list(table.columns[3].cells) == ["1.000", "–"]
    assert table.caption is not None and "rt-1-x, spoon on towel: 4 of 24 episodes" in table.caption


def test_a_task_of_one_policy_has_no_ranking_and_hides_no_other(tmp_path):
    runs = {"rt-1-x": _run(tmp_path / "a", (0, 0)), "octo-base": _run(tmp_path / "b", (1,))}
    table = agreement_table(runs)
    assert list(table.columns[1].cells) == ["2", "1"] and list(table.columns[2].cells) == ["0.000", "–"]
    with pytest.raises(ValueError, match="fewer than two"):
        agreement_table({"rt-1-x": runs["rt-1-x"]})


def test_the_published_table_has_all_nine_tasks():
    assert agreement_table({}).row_count == len(PUBLISHED)


def test_another_rule_of_success_is_refused(tmp_path):
    folder = _run(tmp_path / "a", (0,), protocol="visual matching, success=any")
    with pytest.raises(ValueError, match="success=any"):
        simulated_outcomes({"rt-1-x": folder})
