import numpy as np
import pytest
import torch

from playloop.core.images import shrink
from playloop.nn.vision import Augmentation


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_shrink_is_the_rounded_mean(factor):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    size = 16 // factor
    mean = images.reshape(3, size, factor, size, factor, 3).astype(np.float64).mean((2, 4))
    assert np.array_equal(shrink(images, size), np.floor(mean + 0.5).astype(np.uint8))


def test_shrink_sums_without_overflow_and_keeps_other_shapes():
    assert shrink(np.full((17, 17, 3), 255, np.uint8), 1).tolist() == [[[255, 255, 255]]]
    wide = np.random.default_rng(1).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    assert np.array_equal(shrink(wide, (4, 8))[:, :4], shrink(wide[:, :8], 4))


@pytest.mark.parametrize(("shape", "size"), [((16, 16, 3), 5), ((16, 32, 3), 8), ((16, 16, 3), 32)])
def test_shrink_refuses_what_it_cannot_do_exactly(shape, size):
    with pytest.raises(ValueError, match=f"multiple of {size}"):
        shrink(np.zeros(shape, np.uint8), size)


def test_augmentation_is_drawn_from_its_generator():
    patches = torch.randn(4, 48, 8, 8)
    change = Augmentation(shift=1)
    one, two, other = (change(patches, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert torch.equal(Augmentation(0, 0, 0)(patches, torch.Generator()), patches)


def test_shift_moves_whole_patches():
    patches = torch.arange(16.0).view(1, 1, 4, 4)
    moved = Augmentation(0, 0, 1)(patches, torch.Generator().manual_seed(3))
    rows = [(torch.arange(4) + d).clamp(0, 3) for d in (-1, 0, 1)]
    assert any(torch.equal(moved[0, 0], patches[0, 0][r][:, c]) for r in rows for c in rows)
