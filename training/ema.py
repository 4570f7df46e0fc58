"""A moving average of the weights, which is what gets validated and exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class MovingAverage:
    """An exponential moving average in float32 of a model's parameters and buffers.

    Args:
        model: whose state is averaged.
        decay: share of the average that a step keeps; early steps keep less, so that the start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 0."""
        keep = min(self.decay, (1 + step) / (10 + step))
        current = model.state_dict()
        floating = [name for name, value in self.state.items() if value.is_floating_point()]
        averages, values = [self.state[n] for n in floating], [current[n].detach() for n in floating]
        torch._foreach_lerp_(averages, values, 1 - keep)
        for name, value in current.items():
            if not value.is_floating_point():
                self.state[name].copy_(value)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model carries the average inside the block, and its own weights again after it."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.state)
        try:
            yield
        finally:
            model.load_state_dict(own)
