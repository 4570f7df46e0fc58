"""The state of a run on disk: folders that are there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from playloop.rollouts.differences import differences
from playloop.training.ema import MovingAverage
from playloop.training.sharding import fill, gather, trained_state


@dataclass
class RunState:
    """Everything that a run needs to go on as if it had not been stopped.

    There is no state of random generators: every step's generators are seeded by the run's seed and the step.
    """

    tensors: dict[str, Tensor]
    scalars: dict[str, Any]


def save_state(folder: Path, step: int, state: RunState, keep: int = 2) -> Path:
    """Write `folder/step_XXXXXXXX`; older ones than the last `keep` are removed."""
    target = folder / f"step_{step:08d}"
    partial = folder / f".{target.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    dense = torch.contiguous_format  # convolutions may lie channels last, which a file cannot tell
    tensors = {n: value.detach().cpu().clone(memory_format=dense) for n, value in state.tensors.items()}
    save_file(tensors, partial / "tensors.safetensors")
    (partial / "scalars.json").write_text(json.dumps(state.scalars, indent=2))
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    for old in _saved(folder)[:-keep]:
        shutil.rmtree(old)
    for leftover in folder.glob(".step_*.partial"):  # of runs that were killed while writing
        shutil.rmtree(leftover)
    return target


def load_state(folder: Path) -> RunState | None:
    """The latest state in `folder`, on the CPU; None if there is none."""
    saved = _saved(folder)
    if not saved:
        return None
    scalars = json.loads((saved[-1] / "scalars.json").read_text())
    return RunState(load_file(saved[-1] / "tensors.safetensors"), scalars)


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


def _saved(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*"))


def refuse_other_run(stored: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """Raise a ValueError that names the settings which differ, if any do."""
    if changed := differences(stored, wanted):
        raise ValueError(
            f"{folder} holds a run with other settings ({'; '.join(changed[:5])}). "
            "Restore them, or choose another out."
        )
