"""A network that its weights' file could not fill is never built."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from playloop.nn.building import load_model


@pytest.fixture
def folder(tmp_path):
    save_file(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).state_dict(), tmp_path / "model.safetensors")
    return tmp_path


def stack(layers, width=2):
    return lambda: nn.Sequential(nn.Linear(3, width), *(nn.Linear(width, 1) for _ in range(layers)))


def test_weights_are_read(folder):
    model = load_model(stack(1), folder)
    assert not model.training and model[0].weight.device.type == "cpu"
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (stack(10**7), "a far larger network than the 4 tensors with 11 numbers"),
        (stack(1, 10**9), "a far larger network"),
        (stack(1, 10**18), "does not describe model"),
        (stack(1, "two"), "does not describe model"),
        (stack(1, 2.5), "does not describe model"),
        (stack(1, -2), "does not describe model"),
        (stack(2), "1.weight: file None|2.bias: file None"),
    ],
)
def test_what_cannot_fit_is_refused_before_it_takes_memory(folder, make, said):
    tracemalloc.start()
    with pytest.raises(ValueError, match=said):
        load_model(make, folder)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
