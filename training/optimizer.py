"""What a run changes: weights, their moving average and the optimizer's moments, and all of it as tensors.

Sharded or whole, through PyTorch's `torch.distributed.checkpoint`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim.swa_utils import get_ema_multi_avg_fn

from playloop.training.sharding import local, trained_state

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
"""Trained parameters and buffers; sharded ones are put together, on the CPU of the first process."""


def learning_rate(
    step: int, steps: int, peak: float, warmup: int, floor: float = 0.0, drop: int | None = None
) -> float:
    """The rate of step 0 … steps - 1: linear warm-up to `peak`, then half a cosine to `floor * peak`.

    With `drop` it stays at the peak instead, and is a tenth of it from that step on.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if drop is not None:
        return peak if step < drop else peak / 10
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def make_optimizer(
    parameters: Iterable[nn.Parameter], rate: float, betas: Sequence[float], decay: float
) -> optim.AdamW:
    """AdamW; matrices have the weight decay, vectors none."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        groups[parameter.ndim >= 2].append(parameter)
    chosen = [{"params": part, "weight_decay": decay * big} for big, part in groups.items() if part]
    return optim.AdamW(chosen, lr=rate, betas=(betas[0], betas[1]), fused=True)


class MovingAverage:
    """An exponential moving average of a model's trained parameters, in their own type, and its buffers.

    It is what gets validated and exported. Frozen parameters are neither averaged nor held twice. Of a
    sharded model a process averages its slice.

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
        _put(model, self.state)
        try:
            yield
        finally:
            _put(model, own)


@torch.no_grad()
def _put(model: nn.Module, state: dict[str, Tensor]) -> None:
    for name, value in trained_state(model).items():
        local(value).copy_(local(state[name]))


def collect(model: nn.Module, average: MovingAverage, optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """Trained weights and buffers, their average and the optimizer's moments, in one flat dictionary.

    All processes have to call it; the first one gets the tensors, on the CPU.
    """
    weights: dict[str, Any] = get_model_state_dict(model, options=WHOLE)
    tensors = {f"model/{name}": value for name, value in weights.items()}
    tensors |= {f"average/{name}": value for name, value in averaged(model, average).items()}
    state: Any = get_optimizer_state_dict(model, optimizer, options=WHOLE).get("state", {})
    for name, moments in state.items():
        tensors |= {f"optimizer/{name}/{moment}": value for moment, value in moments.items()}
    return tensors


def averaged(model: nn.Module, average: MovingAverage) -> dict[str, Tensor]:
    """The average of the trained weights and buffers by name; as `collect`."""
    with average.applied(model):
        weights: dict[str, Any] = get_model_state_dict(model, options=WHOLE)
        return {name: value.clone() for name, value in weights.items()}


def distribute(
    tensors: dict[str, Tensor], model: nn.Module, average: MovingAverage, optimizer: optim.Optimizer
) -> None:
    """The inverse of `collect`; every process gives the whole tensors.

    Raises:
        ValueError: they are those of another model.
    """
    for part in ("average/", "model/"):
        values = _under(tensors, part)
        if wrong := values.keys() ^ trained_state(model).keys():
            raise ValueError(
                f"the state and the model differ in {min(wrong)}: another version wrote it; begin anew"
            )
        set_model_state_dict(model, values, options=WHOLE)
        if part == "average/":
            average.reset(model)
    moments: Any = defaultdict(dict)
    for name, value in _under(tensors, "optimizer/").items():
        parameter, _, moment = name.rpartition("/")
        moments[parameter][moment] = value
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]
    set_optimizer_state_dict(model, optimizer, {"state": moments, "param_groups": groups}, options=WHOLE)
    state: dict[Tensor, Any] = dict(optimizer.state)
    for weight, found in state.items():
        for moment, value in found.items():
            if value.shape == weight.shape:  # a fused step pairs the two by how they lie in memory
                found[moment] = torch.empty_like(weight).copy_(value)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
