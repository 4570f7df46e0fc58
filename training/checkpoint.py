"""What a run needs to go on, as one flat dictionary of tensors, and back: sharded or whole, through PyTorch's
`torch.distributed.checkpoint`."""

from __future__ import annotations

from collections import defaultdict
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

from playloop.training.ema import MovingAverage
from playloop.training.sharding import trained_state

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
"""Trained parameters and buffers; sharded ones are put together, on the CPU of the first process."""


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
