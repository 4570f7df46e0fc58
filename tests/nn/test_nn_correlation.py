"""Correlation of features: its definition, place by place, forwards and backwards."""

from __future__ import annotations

import pytest
import torch

from playloop.worlds.inverse import correlate


def slow(a, b, reach, stride):
    batch, channels, height, width = a.shape
    side = 2 * reach + 1
    found = torch.zeros(batch, side * side, height // stride, width // stride, dtype=a.dtype)
    for i in range(side):
        for j in range(side):
            for row in range(0, height, stride):
                for column in range(0, width, stride):
                    y, x = row + i - reach, column + j - reach
                    if 0 <= y < height and 0 <= x < width:
                        product = (a[:, :, row, column] * b[:, :, y, x]).sum(1) / channels**0.5
                        found[:, i * side + j, row // stride, column // stride] = product
    return found


@pytest.mark.parametrize(("height", "width", "reach", "stride"), [(4, 6, 1, 1), (6, 4, 2, 2), (4, 8, 5, 2)])
def test_it_is_its_definition(height, width, reach, stride):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 2, 3, height, width, generator=generator, dtype=torch.float64).requires_grad_()
    found, expected = correlate(a, b, reach, stride), slow(a, b, reach, stride)
    assert torch.allclose(found, expected)
    weights = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((x * weights).sum(), (a, b)) for x in (found, expected)]
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.allclose(mine, theirs)


def test_a_shifted_picture_peaks_at_its_shift():
    picture = torch.randn(1, 16, 12, 12, generator=torch.Generator().manual_seed(1))
    picture /= picture.norm(dim=1, keepdim=True)  # then nothing is more like a place than itself
    moved = torch.roll(picture, (1, -2), (2, 3))
    inside = correlate(picture, moved, 2)[0, :, 3:-3, 3:-3]
    assert (inside.argmax(0) == 5 * (2 + 1) + (2 - 2)).all()
