"""A captured function gives what the function gives, call after call."""

import pytest
import torch

from playloop.nn.graphs import Captured

DEVICES = ["cpu", "cuda"]


def made(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU: nothing is captured without one")
    counter = torch.zeros(1, device=device)
    weight = torch.randn(8, 8, generator=torch.Generator(device).manual_seed(0), device=device)

    def step(x):
        counter.add_(1)
        return x @ weight + counter, counter.clone()

    return step, counter


@pytest.mark.parametrize("device", DEVICES)
def test_it_is_the_function_and_state_moves_on_once_a_call(device):
    step, counter = made(device)
    captured = Captured(step, state=(counter,))
    for number in range(1, 4):
        x = torch.randn(3, 8, generator=torch.Generator(device).manual_seed(number), device=device)
        found, count = (part.clone() for part in captured(x))
        assert float(count) == number == float(counter)
        counter.sub_(1)
        torch.testing.assert_close(found, step(x)[0])


def test_another_shape_is_refused_on_a_gpu():
    step, counter = made("cuda")
    captured = Captured(step, state=(counter,))
    captured(torch.zeros(3, 8, device="cuda"))
    with pytest.raises(ValueError, match="capture a graph for each shape"):
        captured(torch.zeros(4, 8, device="cuda"))
