"""What a large model needs: its blocks' weights spread over processes, their activations computed again.

Sharding is PyTorch's FSDP2 (`fully_shard`): each process keeps a slice of every parameter, a block is put
together just before it computes, and gradients come back as the mean over the processes, sliced.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from playloop.training.distributed import ProcessGroup


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a model's stacks: what lies in a `ModuleList` called "blocks"."""
    lists = [part for name, part in model.named_modules() if name.rpartition(".")[2] == "blocks"]
    return [block for part in lists if isinstance(part, nn.ModuleList) for block in part]


def recompute_blocks(model: nn.Module) -> None:
    """Keep of a block's activations only its inputs, and compute the others again on the way back.

    Blocks draw no random numbers, so that no state of generators has to be kept.

    Raises:
        ValueError: the model has no blocks.
    """
    blocks = blocks_of(model)
    if not blocks:
        raise ValueError("recompute=true: this model has no stack of blocks to compute again; leave it out.")
    for block in blocks:
        block.forward = partial(  # type: ignore[method-assign]
            checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False
        )


def shard_model(model: nn.Module, group: ProcessGroup) -> None:
    """Spread a model's parameters over all processes: every block is a unit, the rest is another.

    The model has to be run by a call or by its `loss`, its blocks by a call. A unit may mix frozen parameters
    of any type with trained ones of a single type.
    """
    from torch.distributed.device_mesh import init_device_mesh  # a second that other runs need not wait
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(group.device.type, (group.ranks,))
    for block in blocks_of(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    if hasattr(model, "loss"):
        register_fsdp_forward_method(model, "loss")


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that are trained, and buffers: what a run changes. Views, by the names of `state_dict`."""
    parameters = model.named_parameters(remove_duplicate=False)
    frozen = {name for name, parameter in parameters if not parameter.requires_grad}
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def local(value: Any) -> Tensor:
    """This process's slice of a `DTensor`, a view, and any other tensor itself; call it without gradients."""
    return value.to_local() if hasattr(value, "to_local") else value


def whole(value: Any) -> Tensor:
    """The tensor that processes hold slices of, all of which have to call it; any other as it is."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value
