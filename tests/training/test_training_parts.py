"""Schedule, moving average, prefetching, splits and stacked arrays."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from playloop.demos.splits import held_out
from playloop.training.data import Stacked, prefetch
from playloop.training.metrics import Averages, append_metrics, read_metrics, truncate_metrics
from playloop.training.optimizer import MovingAverage, learning_rate
from playloop.training.plot import PANELS, figure_of, panel_of, plot_metrics
from playloop.training.task import Share


def test_schedule_rises_to_its_peak_and_falls_to_its_floor():
    rates = [learning_rate(step, 100, 2.0, 10, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == 2.0 and rates[55] == pytest.approx(1.1) and rates[100] == pytest.approx(0.2)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def test_moving_average_forgets_the_start_and_is_applied_only_inside():
    model = nn.Linear(1, 1, bias=False)
    average = MovingAverage(model, 0.5)
    expected = model.weight.item()
    for step, (value, keep) in enumerate([(1.0, 0.1), (3.0, 2 / 11), (5.0, 0.25)]):
        model.weight.data.fill_(value)
        average.update(model, step)
        expected = keep * expected + (1 - keep) * value
        assert average.state["weight"].item() == pytest.approx(expected, rel=1e-6)
    with average.applied(model):
        assert model.weight.item() == average.state["weight"].item()
    assert model.weight.item() == 5.0


def test_prefetch_keeps_order_stops_and_raises():
    assert list(prefetch(lambda step: step * step, range(3, 8))) == [9, 16, 25, 36, 49]
    before = threading.active_count()
    items = prefetch(lambda step: step, range(1000))
    assert [next(items), next(items)] == [0, 1]
    items.close()
    assert threading.active_count() == before

    def fail(step: int) -> int:
        if step == 2:
            raise RuntimeError("step two")
        return step

    items = prefetch(fail, range(5))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(RuntimeError, match="step two"):
        next(items)


def test_shares_make_up_the_batch():
    rows = torch.arange(12)
    shares = [Share(12, rank, 3).of(rows) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert sorted(torch.cat(shares).tolist()) == rows.tolist()


def test_split_is_by_episode_and_repeatable():
    chosen = held_out(40, 0.1, seed=0)
    assert chosen.sum() == 4
    assert np.array_equal(chosen, held_out(40, 0.1, seed=0))
    assert not np.array_equal(chosen, held_out(40, 0.1, seed=1))
    assert held_out(3, 0.01, seed=0).sum() == 1
    assert held_out(3, 0, seed=0).sum() == 0
    with pytest.raises(ValueError, match="leaves none"):
        held_out(1, 0.1, seed=0)


def test_stacked_arrays_act_as_one():
    generator = np.random.default_rng(0)
    arrays = [generator.integers(0, 256, (n, 4, 3), dtype=np.uint8) for n in (5, 1, 9)]
    stacked, whole = Stacked(arrays), np.concatenate(arrays)
    rows = generator.integers(0, 15, 50)
    assert len(stacked) == 15
    assert np.array_equal(stacked.gather(rows), whole[rows])
    assert np.array_equal(stacked.resident(torch.device("cpu")).numpy(), whole)


def test_averages_and_log(tmp_path):
    averages = Averages()
    for value in (1.0, 2.0, 6.0):
        averages.add({"loss": torch.tensor(value)})
    assert averages.take() == {"loss": 3.0} and averages.take() == {}
    log = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        append_metrics(log, {"step": step})
    with log.open("a") as file:
        file.write('{"step": 4, "lo')
    truncate_metrics(log, 2)
    append_metrics(log, {"step": 3})
    assert read_metrics(log) == [{"step": 1}, {"step": 2}, {"step": 3}]


def test_a_metric_without_numbers_is_drawn_without_a_warning(tmp_path, recwarn):
    log = tmp_path / "metrics.jsonl"
    append_metrics(log, {"step": 1, "loss": 2.0, "norm": float("inf")})
    plot_metrics(log, tmp_path / "metrics.png")
    assert (tmp_path / "metrics.png").read_bytes()[:4] == b"\x89PNG" and not recwarn.list


def test_every_curve_has_a_name_a_unit_and_a_meaning():
    record = {"step": 20, "seconds": 90.0, "rows_per_second": 7.0, "loss": 2.0, "rate": 0.1, "mine": 3.0}
    record |= {"accuracy": 0.5, "validation/accuracy": 0.4, "imagined_accuracy": 0.3, "target_1_cm": 4.0}
    figure = figure_of([record], "reach")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == [
        "Loss",
        "Token accuracy",
        "Token accuracy, behind imagined frames",
        "mine",
        "Error of named position 2",
        "Learning rate",
    ]
    assert [axis.get_ylabel() for axis in shown][1:5] == ["share of tokens", "share of tokens", "", "cm"]
    assert all(axis.get_xlabel() == "optimizer steps" for axis in shown)
    assert shown[0].texts[0].get_text() == "what training lowers"
    (legend,) = figure.legends
    assert [text.get_text().partition(":")[0] for text in legend.get_texts()] == ["training", "validation"]
    assert figure.get_suptitle() == "reach: 20 steps in 1.5 minutes"
    assert all(panel.unit and panel.meaning for panel in map(panel_of, PANELS))
