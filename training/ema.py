"""A moving average of the weights, which is what gets validated and exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from playloop.training.sharding import local, trained_state


class MovingAverage:
    """An exponential moving average of a model's trained parameters, in their own type, and its buffers.

    Frozen parameters are neither averaged nor held twice. Of a sharded model a process averages its slice.

    Args:
        model: whose state is averaged.
        decay: share of the average that a step keeps; early steps keep less, so that the start is forgotten.
            0: there is no average, the weights themselves are taken.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.reset(model)

    def reset(self, model: nn.Module) -> None:
        """Begin anew with the model's weights."""
        self.state = {name: value.detach().clone() for name, value in trained_state(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 0."""
        keep = min(self.decay, (1 + step) / (10 + step))
        current = trained_state(model)
        floating = [name for name, value in self.state.items() if value.is_floating_point()]
        averages, values = [local(self.state[n]) for n in floating], [local(current[n]) for n in floating]
        get_ema_multi_avg_fn(keep)(averages, values, step)
        for name, value in current.items():
            if not value.is_floating_point():
                self.state[name].copy_(value)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model carries the average inside the block, and its own weights again after it."""
        own = {name: value.detach().clone() for name, value in trained_state(model).items()}
        self._put(model, self.state)
        try:
            yield
        finally:
            self._put(model, own)

    @torch.no_grad()
    def _put(self, model: nn.Module, state: dict[str, torch.Tensor]) -> None:
        for name, value in trained_state(model).items():
            local(value).copy_(local(state[name]))
