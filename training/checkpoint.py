"""What a run needs to go on, as one flat dictionary of tensors, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn, optim

from playloop.training.ema import MovingAverage
from playloop.training.sharding import fill, gather, trained_state


def collect(
    model: nn.Module, average: MovingAverage, optimizer: optim.Optimizer, keep: bool = True
) -> dict[str, Tensor]:
    """Trained weights and buffers, their average and the optimizer's moments, in one flat dictionary.

    Args:
        model: its frozen weights are left out.
        average: of the model.
        optimizer: likewise.
        keep: whether this process wants it. Of a sharded model all have to ask, for it is put together.
    """
    tensors = {f"model/{name}": value for name, value in trained_state(model).items()}
    tensors |= {f"average/{name}": value for name, value in average.state.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in moments.items()}
    return gather(tensors, keep)


def distribute(
    tensors: dict[str, Tensor], model: nn.Module, average: MovingAverage, optimizer: optim.Optimizer
) -> None:
    """The inverse of `collect`, in place; every process gives the whole tensors."""
    _fill_all(trained_state(model), _under(tensors, "model/"), model)
    _fill_all(average.state, _under(tensors, "average/"), model)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimizer/").items():
        index, moment = name.split("/")
        like = parameters[int(index)].detach()
        if value.shape == like.shape:  # a fused step pairs the two by how they lie in memory
            laid = torch.empty_like(like)
            fill(laid, value)
            value = laid
        moments.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})


def _fill_all(targets: dict[str, Tensor], values: dict[str, Tensor], model: nn.Module) -> None:
    """Copy by name. Older states also hold frozen weights, which are the model's own already."""
    known = dict(model.named_parameters(remove_duplicate=False))
    wrong = (values.keys() ^ targets.keys()) - {name for name in known if not known[name].requires_grad}
    if wrong:
        raise ValueError(
            f"the state and the model differ in {min(wrong)}: it was written by another version; begin anew"
        )
    for name, target in targets.items():
        fill(target, values[name])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
