"""Where each tensor of a published checkpoint goes in a model of ours, and a filling that leaves no gap.

A slot is a range of rows of one parameter, because several published matrices are one product here. Tensors
are copied one at a time, so that a model never lies in memory twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from playloop.nn.llama import LlamaSizes


@dataclass(frozen=True)
class Slot:
    """Where one published tensor goes.

    Args:
        parameter: name of ours.
        start: first row that it fills.
        rows: how many; None for the whole parameter.
    """

    parameter: str
    start: int = 0
    rows: int | None = None

    def of(self, parameter: Tensor) -> Tensor:
        """The part of the parameter, a view."""
        return parameter if self.rows is None else parameter.narrow(0, self.start, self.rows)


def llama_slots(sizes: LlamaSizes, theirs: str, ours: str) -> dict[str, Slot]:
    """Hugging Face's names of a Llama's blocks and last norm → slots of a `Llama`.

    Args:
        sizes: of the stack.
        theirs: prefix of the published names, "language_model.model." for instance.
        ours: prefix of the parameters' names.
    """
    size, slots = sizes.size, {f"{theirs}norm.weight": Slot(f"{ours}norm.weight")}
    queries, keys = sizes.heads * size, sizes.groups * size
    for layer in range(sizes.layers):
        their, our = f"{theirs}layers.{layer}.", f"{ours}blocks.{layer}."
        project, inner = f"{our}attention.project.weight", f"{our}mlp.inner.weight"
        slots |= {
            f"{their}input_layernorm.weight": Slot(f"{our}norm_attention.weight"),
            f"{their}post_attention_layernorm.weight": Slot(f"{our}norm_mlp.weight"),
            f"{their}self_attn.q_proj.weight": Slot(project, 0, queries),
            f"{their}self_attn.k_proj.weight": Slot(project, queries, keys),
            f"{their}self_attn.v_proj.weight": Slot(project, queries + keys, keys),
            f"{their}self_attn.o_proj.weight": Slot(f"{our}attention.out.weight"),
            f"{their}mlp.gate_proj.weight": Slot(inner, 0, sizes.hidden),
            f"{their}mlp.up_proj.weight": Slot(inner, sizes.hidden, sizes.hidden),
            f"{their}mlp.down_proj.weight": Slot(f"{our}mlp.outer.weight"),
        }
    return slots


def check_shapes(model: nn.Module, slots: Mapping[str, Slot], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a checkpoint whose names or shapes are not those of the slots; nothing is read for it.

    Args:
        model: whose parameters the slots name; may lie on the meta device.
        slots: by published name.
        shapes: of the tensors found, by published name.

    Raises:
        ValueError: a tensor is missing, unknown or of another shape; names the first of each.
    """
    missing, extra = sorted(slots.keys() - shapes.keys()), sorted(shapes.keys() - slots.keys())
    parameters = dict(model.named_parameters())
    wanted = {name: tuple(slots[name].of(parameters[slots[name].parameter]).shape) for name in slots}
    wrong = sorted(name for name in slots.keys() & shapes.keys() if wanted[name] != tuple(shapes[name]))
    problems = []
    if missing:
        problems.append(f"{len(missing)} tensors are missing, {missing[0]} first")
    if extra:
        problems.append(f"{len(extra)} are unknown, {extra[0]} first")
    if wrong:
        first = wrong[0]
        problems.append(
            f"{len(wrong)} have another shape, {first} first: {tuple(shapes[first])}, not {wanted[first]}"
        )
    if problems:
        raise ValueError("; ".join(problems))


@torch.no_grad()
def fill_slots(model: nn.Module, slots: Mapping[str, Slot], tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Copy published tensors into their slots, in the parameters' type.

    Args:
        model: to fill.
        slots: by published name.
        tensors: names and values; every slot exactly once.

    Raises:
        ValueError: a name is unknown or comes twice, a shape differs, a number is not finite, or a slot stays
            empty.
    """
    parameters, left = dict(model.named_parameters()), set(slots)
    for name, value in tensors:
        if name not in left:
            raise ValueError(f"{name} {'comes twice' if name in slots else 'is unknown'}")
        target = slots[name].of(parameters[slots[name].parameter])
        if target.shape != value.shape:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, not {tuple(target.shape)}")
        target.copy_(value)
        if not _finite(target):
            raise ValueError(f"{name} holds NaN or infinity, or numbers that no {target.dtype} holds")
        left.remove(name)
    if left:
        raise ValueError(f"{len(left)} tensors are missing, {min(left)} first")


def _finite(values: Tensor) -> bool:
    """Whether all numbers are. NaN goes through least and largest, which take a fraction of the time."""
    if not values.numel() or values.is_meta:
        return True
    return bool(torch.isfinite(torch.stack(torch.aminmax(values))).all())


def published(model: nn.Module, slots: Mapping[str, Slot]) -> dict[str, Tensor]:
    """The inverse of `fill_slots`: a model's weights by their published names."""
    parameters = dict(model.named_parameters())
    return {name: slot.of(parameters[slot.parameter]).detach().contiguous() for name, slot in slots.items()}
