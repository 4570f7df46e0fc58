"""An OpenVLA checkpoint made ready for fine-tuning, and what came of it in the published layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from playloop.core.annotations import Count, Positive
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.core.scratch import staged
from playloop.nn.adapter import read_adapter, read_adapter_config, write_adapter
from playloop.nn.folder import write_record
from playloop.nn.lora import LoRAConfig, adapt, adapters, merge
from playloop.nn.manifest import RECORDS, write_manifest
from playloop.nn.slots import Slot
from playloop.nn.vit import FiLM
from playloop.policies.openvla import names
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.files import copy_companions, read_openvla, write_openvla
from playloop.policies.openvla.model import ActionHead, OpenVLA, ProprioProjector
from playloop.policies.openvla.pickles import ADAPTER
from playloop.policies.openvla.policy import write_golden
from playloop.policies.openvla.prompt import TOKENIZER

TARGETS = ("vision_backbone", "projector", "language_model")


@kind("lora")
@checked
class AdapterConfig:
    """What of a checkpoint is trained.

    Args:
        rank: of the adapters.
        alpha: see `LoRAConfig`; None: the smaller of rank and 16.
        targets: published parts whose layers get adapters, the language model's head and the patches'
            convolutions among them: in OpenVLA's code PEFT's (0.11.1) "all-linear" takes these, too.
        start: folder of an adapter to go on from, with the checkpoint it was trained beside; it decides
            rank and alpha. What was trained beside it is not in it.
        heads: train the projector of the robot's state, the action head and FiLM's layers, whole; never where
            a model follows itself.
    """

    rank: Count = 32
    alpha: Positive | None = None
    targets: list[str] = field(default_factory=lambda: list(TARGETS))
    start: str | None = None
    heads: bool = True

    def lora(self) -> LoRAConfig:
        """Sizes of the adapters."""
        return read_adapter_config(self.start) if self.start else LoRAConfig(self.rank, self.alpha)


def adapted_slots(config: OpenVLAConfig, targets: Sequence[str]) -> dict[str, Slot]:
    """Published tensors beside which adapters are put, by their names in an adapter's file.

    Raises:
        ValueError: there is no such part, or none is named.
    """
    if not targets:
        raise ValueError(f"adapter.targets is empty; choose from {', '.join(TARGETS)}")
    if unknown := set(targets) - set(TARGETS):
        raise ValueError(f"adapter.targets: {min(unknown)!r} is no part; choose from {', '.join(TARGETS)}")
    slots = names.vision_adapted(config) | names.language_slots(config)
    return {name: slot for name, slot in slots.items() if name.split(".")[0] in targets}


def load_student(
    folder: str | Path, config: OpenVLAConfig, adapter: AdapterConfig, seed: int, dtype: torch.dtype
) -> OpenVLA:
    """A checkpoint on the CPU, frozen in `dtype`, with float32 parts to train; the same for equal arguments.

    `config` is what it becomes, of the checkpoint's own sizes; new weights are drawn from the seed.

    Raises:
        ValueError: the adapter does not fit, or the checkpoint is of a kind that is not fine-tuned here.
    """
    generator = torch.Generator().manual_seed(seed)
    model = refit(read_openvla(folder, "cpu", dtype), config, generator)
    adapt(model, adapted_slots(config, adapter.targets), adapter.lora(), generator)
    if adapter.start:
        unused = names.adapted_unused(config)
        read_adapter(adapter.start, model, lambda name: f"{name}.weight" in unused)
    if adapter.heads:
        for part in (model.proprio, model.action_head, model.films):
            if part is not None:
                part.float().requires_grad_(True)
    return model


def refit(model: OpenVLA, config: OpenVLAConfig, generator: torch.Generator) -> OpenVLA:
    """The same networks with other inputs and outputs, in place; what is missing is new.

    New FiLM layers begin as OFT's do, as any linear layer: their weights are not 0, so that scales and shifts
    are small and not absent.

    Raises:
        ValueError: sizes differ.
    """
    before = model.config
    for name in ("towers", "llama", "vocabulary", "action"):
        if getattr(before, name) != getattr(config, name):
            raise ValueError(
                f"{name} is {getattr(before, name)} in the checkpoint, not {getattr(config, name)}"
            )
    width, dtype = config.llama.width, model.table.weight.dtype
    fresh = partial(_fresh, generator=generator, dtype=dtype)
    if config.proprio != before.proprio:
        model.proprio = None if config.proprio is None else fresh(ProprioProjector(config.proprio, width))
    if config.l1 != before.l1:
        model.action_head = fresh(ActionHead(width, config.action)) if config.l1 else None
    if config.film and not before.film:
        model.films = fresh(nn.ModuleList(FiLM(width, tower) for tower in config.towers))
    model.config = config
    return model


@torch.no_grad()
def _fresh(module: Any, generator: torch.Generator, dtype: torch.dtype) -> Any:
    """PyTorch's initial weights of linear layers, drawn from a generator, then in another type."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            for parameter in layer.parameters(recurse=False):
                parameter.uniform_(-bound, bound, generator=generator)
    return module.to(dtype)


@torch.no_grad()
def export_student(
    folder: Path,
    model: OpenVLA,
    state: Mapping[str, Tensor],
    base: Path,
    statistics: Mapping[str, Any],
    observation: Mapping[str, Any],
    family: str,
    training: Mapping[str, Any],
) -> Path:
    """Write merged weights in the published layout, the adapter beside them, and a golden decision.

    Weights are stored in bfloat16, as published ones are: any type that they are read in holds them exactly.

    Args:
        folder: to write, whole or not at all; an older one is replaced.
        model: as `load_student` gives it; used up.
        state: its trained parameters.
        base: checkpoint that was fine-tuned; tokenizer and the like are taken from it.
        statistics: data set → record; the first is the golden decision's.
        observation: for the golden decision.
        family: of the environment, see `policies.openvla.families`.
        training: for `training.json`.
    """
    _fill(model, state)
    with staged(folder) as scratch:
        write_adapter(scratch / ADAPTER, model, str(base))
        rank = next(iter(adapters(model).values())).config.rank
        merge(model)
        model.to(torch.bfloat16)
        tokenizer = (base / TOKENIZER).read_text(encoding="utf-8")
        merged = write_openvla(scratch / "merged", model, statistics, tokenizer, rank=rank)
        for path in list(merged.iterdir()):
            path.rename(scratch / path.name)
        merged.rmdir()
        copy_companions(base, scratch)
        write_record(scratch / "training.json", dict(training))
        write_golden(scratch, model.eval(), observation, family, next(iter(statistics)))
        write_manifest(scratch, RECORDS)
    return folder


def _fill(model: OpenVLA, state: Mapping[str, Tensor]) -> None:
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if wrong := trained.keys() ^ state.keys():
        raise ValueError(f"the run trained other parameters than the model has: {min(wrong)}")
    for name, parameter in trained.items():
        parameter.copy_(state[name])
