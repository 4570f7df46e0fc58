import pytest
import torch

from playloop.worlds.schedule import Schedule, clip_mask


@pytest.mark.parametrize(("window", "forwards"), [(1, 37), (2, 50), (4, 76), (24, 336)])
def test_passes_of_mineworlds_grid(window, forwards):
    schedule = Schedule(14, 24, window)
    assert schedule.forwards == len(schedule.steps) == forwards


def test_a_diagonal_pass_decodes_up_to_a_row_of_rows():
    widths = [len(step.targets) for step in Schedule(14, 24).steps]
    assert widths == [*range(1, 14), *[14] * 11, *range(13, 0, -1)]


@pytest.mark.parametrize("window", [1, 2, 5])
def test_every_token_comes_out_once_after_what_it_is_predicted_from(window):
    schedule = Schedule(4, 5, window)
    fed: set[int] = set()
    found: list[int] = []
    for step in schedule.steps:
        fed |= set(step.fed)
        assert set(step.fed) <= set(found)
        assert not set(step.targets) & fed
        found += step.targets
    assert sorted(found) == list(range(20))
    assert set(range(20)) - fed == {19}  # the last token is fed with the next frame's action


def test_raster_order_is_the_widest_window():
    order = [target for step in Schedule(3, 4, 4).steps for target in step.targets]
    assert order == list(range(12))


@pytest.mark.parametrize("window", [1, 3])
def test_a_query_sees_its_neighbours_and_never_what_it_predicts(window):
    schedule = Schedule(3, 4, window)
    for token, reader in enumerate(schedule.readers.tolist()):
        seen = set((schedule.visible[reader].nonzero()[:, 0] - 1).tolist())
        assert token not in seen and -1 in seen  # -1: the action
        row, column = divmod(token, 4)
        assert row == 0 or token - 4 in seen
        assert column == 0 or token - 1 in seen


def test_a_clip_sees_whole_frames_as_far_as_the_context_reaches():
    schedule = Schedule(2, 2)
    mask = clip_mask(schedule, 4, context=2).view(4, schedule.queries, 4, schedule.slots)
    frames = mask.any(3).any(1)
    assert torch.equal(frames, torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]).bool())
    assert mask[1, :, 0].all()
    assert torch.equal(mask[2, :, 2], schedule.visible)


def test_a_window_wider_than_the_row_is_refused():
    with pytest.raises(ValueError, match="between 1 and columns"):
        Schedule(2, 3, 4)
