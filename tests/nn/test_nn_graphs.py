"""A captured function gives what the function gives, call after call."""

import pytest
import torch

from playloop.nn.graphs import WARM_UPS, Captured

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


def test_it_can_be_called_in_inference_mode_and_out_of_it():
    step, counter = made("cuda")
    captured = Captured(step, state=(counter,))
    with torch.inference_mode():
        captured(torch.zeros(3, 8, device="cuda"))
    assert float(captured(torch.ones(3, 8, device="cuda"))[1]) == 2 == float(counter)


def test_a_capture_that_failed_is_tried_again():
    step, counter = made("cuda")
    calls = []

    def once_wrong(x):
        calls.append(None)
        if len(calls) == WARM_UPS + 1:
            raise RuntimeError("out of memory, for instance")
        return step(x)

    captured, x = Captured(once_wrong, state=(counter,)), torch.ones(3, 8, device="cuda")
    with pytest.raises(RuntimeError, match="for instance"):
        captured(x)
    assert float(captured(x)[1]) == 1 == float(counter)


def test_graphs_that_share_memory_give_what_they_give_alone():
    if not torch.cuda.is_available():
        pytest.skip("no GPU: nothing is captured without one")

    def chain(x):
        for factor in range(1, 5):
            x = (x * factor).cumsum(-1)  # each in memory that was free before
        return x

    first = Captured(chain)
    second = Captured(chain, beside=first)
    small, large = torch.rand(64, device="cuda"), torch.rand(4096, device="cuda")
    for _ in range(2):
        for captured, x in ((first, small), (second, large), (first, small)):
            torch.testing.assert_close(captured(x).clone(), chain(x))
