"""MineWorld's schedules against their definitions, written out token by token."""

from __future__ import annotations

import itertools

import pytest
import torch
from mineworld_sizes import unit_of

from playloop.worlds.mineworld.clip import ClipSchedule, clip_schedule, mask_on

GRIDS = [(3, 4, w, causal) for w in (1, 2, 3, 4) for causal in (False, True)]


@pytest.mark.parametrize(("window", "forwards"), [(1, 37), (2, 50), (4, 76), (24, 336)])
@pytest.mark.parametrize("compat", [False, True])
def test_passes_of_the_published_grid(window, forwards, compat):
    schedule = unit_of(window=window, released=compat)
    assert schedule.forwards == len(schedule.steps) == forwards
    widths = [len(step.targets) for step in schedule.steps]
    if window == 1:
        assert widths == [*range(1, 14), *[14] * 11, *range(13, 0, -1)]
    assert sorted(itertools.chain(*(step.targets for step in schedule.steps))) == list(range(336))
    for number, step in enumerate(schedule.steps):
        assert all(token % 24 + window * (token // 24) == number for token in step.targets)


@pytest.mark.parametrize(("rows", "columns", "window", "causal"), GRIDS)
def test_a_clean_query_sees_what_was_fed(rows, columns, window, causal):
    schedule, actions = unit_of(rows, columns, window, actions=3, causal=causal), 3
    fed_at = {}  # token → step at which it is fed: the one after its own
    for row, column in itertools.product(range(rows), range(columns)):
        fed_at[row * columns + column] = column + window * row + 1
    for query in range(schedule.slots):
        for slot in range(schedule.slots):
            if slot < actions:
                wanted = slot <= query
            elif query < actions:
                wanted = False
            else:
                wanted = fed_at[slot - actions] <= fed_at[query - actions] and not (causal and slot > query)
            assert schedule.visible[query, slot] == wanted, (query, slot)
    starts = list(range(1, rows)) if window < columns else []
    assert len(schedule.visible) == schedule.slots + len(starts)
    for row, seen in zip(starts, schedule.visible[schedule.slots :], strict=True):
        for token, step in fed_at.items():
            before = token < row * columns or not causal
            assert seen[actions + token] == (step <= window * row and before), (row, token)
        assert seen[:actions].all()


@pytest.mark.parametrize(("rows", "columns", "window", "causal"), GRIDS)
def test_clean_passes_never_see_what_is_not_written_and_feed_only_true_tokens(rows, columns, window, causal):
    schedule = unit_of(rows, columns, window, causal=causal)
    written, known = set(range(schedule.actions)), set()
    for step in schedule.steps:
        assert set(step.fed) <= known, "a token is fed before it exists"
        written |= {schedule.actions + token for token in step.fed}
        starts = [schedule.slots + row - 1 for row in step.starts] if schedule.starting else []
        for query in [schedule.actions + token for token in step.fed] + starts:
            assert set(schedule.visible[query].nonzero()[:, 0].tolist()) <= written
        known |= set(step.targets)
    assert known == set(range(schedule.tokens))
    assert written == set(range(schedule.slots - 1)), "the last token is fed with the next frame's action"


def test_raster_order_needs_no_start_queries():
    schedule = unit_of(3, 4, 4)
    assert torch.equal(schedule.visible, torch.ones(23, 23).tril().bool()) and not schedule.starting
    assert [step.fed for step in schedule.steps] == [(), *((token,) for token in range(11))]


@pytest.mark.parametrize(("window", "mean", "most"), [(1, 47.8, 208), (2, 30.1, 121), (4, 14.8, 55)])
def test_the_release_sees_places_that_nobody_wrote(window, mean, most):
    schedule = unit_of(window=window, released=True)
    written = torch.zeros(schedule.slots, dtype=torch.bool)
    written[:11] = True
    counts = []
    for step in schedule.steps[1:]:
        fed = [11 + token for token in step.fed]
        ends = [11 + 24 * row - 1 for row in step.starts]
        written[fed + ends] = True
        queries = fed + [schedule.slots + row - 1 for row in step.starts]
        counts += [int((schedule.visible[query] & ~written).sum()) for query in queries]
    assert len(counts) == 335 and max(counts) == most
    assert round(sum(counts) / len(counts), 1) == mean


@pytest.mark.parametrize("window", [1, 2, 24])
def test_the_release_never_feeds_the_ends_of_rows(window):
    schedule = unit_of(window=window, released=True)
    fed = set(itertools.chain(*(step.fed for step in schedule.steps)))
    assert set(range(335)) - fed == {24 * row + 23 for row in range(13)}
    assert [row for step in schedule.steps for row in step.starts] == list(range(1, 14))


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_a_clip_is_its_units_one_after_another(window, causal):
    unit = unit_of(3, 4, window, actions=2, causal=causal)
    clip = ClipSchedule(unit, 3, asks=True)
    assert clip.length == 3 * 12 + 2 * 2
    where = [(0, 2 + k) for k in range(12)] + [(u, s) for u in (1, 2) for s in range(14)]
    asked = [(u, 14 + row - 1, row) for u in (1, 2) for row in (1, 2)] if window < 4 else []
    queries = [*where, *((u, q) for u, q, _ in asked)]
    for row, (query_unit, query) in enumerate(queries):
        for column, (slot_unit, slot) in enumerate(where):
            wanted = slot_unit < query_unit or (slot_unit == query_unit and bool(unit.visible[query, slot]))
            assert clip.mask[row, column] == wanted
    assert clip.positions[: clip.length].tolist() == list(range(clip.length))
    ends = [where.index((u, 2 + 4 * row - 1)) for u, _, row in asked]
    assert clip.positions[clip.length :].tolist() == ends
    for target in range(1, clip.length):
        unit_number, slot = where[target]
        opens = slot >= 2 and (slot - 2) % 4 == 0 and slot > 2 and window < 4
        if opens and unit_number:
            wanted = clip.length + [(u, row) for u, _, row in asked].index((unit_number, (slot - 2) // 4))
        else:
            wanted = target - 1
        assert clip.readers[target - 1] == wanted
        leak = opens and not unit_number and not causal
        assert clip.counted[target - 1] == (not leak), target


def test_sizes_that_do_not_fit():
    for wrong in ({"rows": 0}, {"window": 0}, {"actions": 0}):
        with pytest.raises(ValueError, match=r"at least|must be"):
            unit_of(**wrong)


def test_a_mask_goes_to_a_device_once():
    schedule = unit_of(3, 4)
    here = mask_on(clip_schedule(schedule, 3), torch.device("cpu"))
    assert here is clip_schedule(schedule, 3).mask and not here.is_inference()
    with torch.inference_mode():
        there = mask_on(clip_schedule(schedule, 3), torch.device("meta"))
    assert there is mask_on(clip_schedule(schedule, 3), torch.device("meta"))
    assert there.shape == here.shape and not there.is_inference(), "training may use it, too"
