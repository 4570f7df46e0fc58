"""Adapters as PEFT's files: `adapter_model.safetensors` and `adapter_config.json`.

The layout is documented at huggingface.co/docs/peft/developer_guides/checkpoint: a tensor is called
`base_model.model.<published layer>.lora_A.weight` [rank, in] or `….lora_B.weight` [out, rank]; of a
convolution A has the window and B one of 1 x 1. Where the head of a language model is adapted, PEFT adds its
own weight, `….base_layer.weight`, which tells whether the adapter lies beside the model it was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from playloop.core.files import check_pointer
from playloop.core.scratch import staged
from playloop.nn.adapter_settings import check_settings, sizes_of
from playloop.nn.contents import contents
from playloop.nn.folder import read_record, write_record
from playloop.nn.lora import Adapter, LoRAConfig, Part, adapters
from playloop.nn.manifest import check_manifest, write_manifest
from playloop.nn.slots import Slot, check_shapes, fill_slots, published

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
BASE = ".base_layer.weight"
HEAD = "lm_head"
"""The last part of a published layer's name: PEFT takes the layer that gives tokens' scores for a table."""


def adapter_slots(model: nn.Module) -> dict[str, Slot]:
    """PEFT's name → its slot in an adapted model."""
    slots = {}
    for name, layer in adapters(model).items():
        for number, part in enumerate(layer.parts):
            rank = layer.config.rank
            slots[f"{PREFIX}{part.name}.lora_A.weight"] = Slot(f"{name}.lora_a", number * rank, rank)
            slots[f"{PREFIX}{part.name}.lora_B.weight"] = Slot(f"{name}.lora_b.{number}")
    return slots


def write_adapter(folder: str | Path, model: nn.Module, base: str = "") -> Path:
    """Write a model's adapters, in float32, and its head's own weight; an older folder is replaced.

    `base` is where the model without adapters lies; PEFT writes it down.

    Raises:
        ValueError: the model has no adapters.
    """
    layers = list(adapters(model).values())
    if not layers:
        raise ValueError("the model has no adapters; nn.lora.adapt makes them")
    config = layers[0].config
    record = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": config.scale * config.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": "gaussian",
        "modules_to_save": None,
        "target_modules": sorted(part.name for layer in layers for part in layer.parts),
    }
    tensors = {name: value.cpu() for name, value in published(model, adapter_slots(model)).items()}
    for layer in layers:
        for part in layer.parts:
            if part.name.split(".")[-1] == HEAD:
                tensors[f"{PREFIX}{part.name}{BASE}"] = _frozen(layer, part).cpu().contiguous()
    with staged(Path(folder)) as partial:
        save_file(tensors, partial / WEIGHTS, metadata={"format": "pt"})
        (partial / WEIGHTS).chmod(0o644)  # safetensors gives it to the owner alone
        write_record(partial / CONFIG, record)
        write_manifest(partial)
    return Path(folder)


def read_adapter_config(folder: str | Path) -> LoRAConfig:
    """Sizes of the adapters in a folder.

    Raises:
        FileNotFoundError: there is no adapter.
        ValueError: it is of a kind that is more than a product of two matrices; names the setting.
    """
    return sizes_of(_record(Path(folder)), Path(folder) / CONFIG)


def read_adapter(
    folder: str | Path, model: nn.Module, unused: Callable[[str], bool] = lambda name: False
) -> None:
    """Fill an adapted model from a folder, in place. Parts that the adapter leaves alone get B = 0.

    Args:
        folder: PEFT's.
        model: adapted with `read_adapter_config(folder)`.
        unused: whether a published layer is one that the model does not have because nothing reads it.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or its tensors are not those of the model.
    """
    folder = Path(folder)
    record, (found, bases), slots = _record(folder), _tensors(folder), adapter_slots(model)
    for layer in adapters(model).values():
        for part in layer.parts:
            if part.name in bases:
                check_base(part.name, _frozen(layer, part), bases[part.name], folder)
    meant = targeted(record, {_layer(name) for name in found}, folder)
    found = {name: value for name, value in found.items() if not unused(_layer(name))}
    wanted = {name: slot for name, slot in slots.items() if meant(_layer(name))}
    try:
        check_shapes(model, wanted, {name: tuple(value.shape) for name, value in found.items()})
    except ValueError as error:
        raise ValueError(f"{folder}/{WEIGHTS} does not fit the model: {error}") from error
    fill_slots(model, wanted, found.items())
    with torch.no_grad():
        parameters = dict(model.named_parameters())
        for name in slots.keys() - wanted.keys():
            if name.endswith(".lora_B.weight"):
                slots[name].of(parameters[slots[name].parameter]).zero_()


class Factors(NamedTuple):
    """A layer in a file: A [rank, in, …], B [out, rank, …], and its own weight where that is stored, too."""

    down: Tensor
    up: Tensor
    base: Tensor | None = None


def read_factors(folder: str | Path) -> dict[str, Factors]:
    """The factors of every adapted layer in PEFT's folder, by its published name.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or a factor lacks its partner or has another rank than the settings.
    """
    folder = Path(folder)
    rank, (found, bases) = read_adapter_config(folder).rank, _tensors(folder)
    layers = sorted({_layer(name) for name in found})
    names = {layer: [f"{PREFIX}{layer}.lora_{part}.weight" for part in "AB"] for layer in layers}
    if strange := found.keys() - {name for pair in names.values() for name in pair}:
        raise ValueError(f"{folder}/{WEIGHTS}: {min(strange)} is no factor of LoRA; copy it again")
    factors = {}
    for layer, (a, b) in names.items():
        if a not in found or b not in found:
            raise ValueError(f"{folder}/{WEIGHTS}: {layer} lacks one of its two factors; copy it again")
        down, up = found[a], found[b]
        if down.ndim < 2 or up.ndim != down.ndim or (len(down), up.shape[1]) != (rank, rank):
            raise ValueError(f"{folder}/{WEIGHTS}: {layer} has not the rank {rank} of {CONFIG}; copy both")
        factors[layer] = Factors(down, up, bases.get(layer))
    return factors


def check_base(layer: str, weight: Tensor, stored: Tensor, folder: Path) -> None:
    """Refuse an adapter that was trained beside another weight than this one, which its file holds."""
    coarse = min(weight.dtype, stored.dtype, key=lambda dtype: dtype.itemsize)  # either may be rounded
    if weight.shape != stored.shape or not torch.equal(weight.to(coarse), stored.to(weight.device, coarse)):
        raise ValueError(
            f"{folder} was trained beside another checkpoint: {layer} is not the one in its file; give the "
            "checkpoint that the training began with"
        )


def _frozen(layer: Adapter, part: Part) -> Tensor:
    """A published layer's weight without the adapter."""
    return layer.get_parameter("weight").detach().narrow(0, part.start, part.rows)


def _layer(name: str) -> str:
    """The published layer of one of PEFT's names."""
    return name.removeprefix(PREFIX).rsplit(".lora_", 1)[0]


def _record(folder: Path) -> Mapping[str, Any]:
    """An adapter's settings; those of another kind than plain LoRA are refused wherever one is read."""
    record = read_record(_present(folder, CONFIG))
    check_manifest(folder)
    check_settings(record, folder / CONFIG)
    return record


def _tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Factors by PEFT's names, and weights of layers by published ones."""
    check_pointer(_present(folder, WEIGHTS))
    try:
        found = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{folder}/{WEIGHTS} is damaged ({error}); copy it again") from error
    if wrong := [name for name, value in sorted(found.items()) if not value.is_floating_point()]:
        raise ValueError(
            f"{folder}/{WEIGHTS}: {wrong[0]} has the type {found[wrong[0]].dtype}; only floating-point "
            "adapters are read"
        )
    bases = {name: found.pop(name) for name in list(found) if name.endswith(BASE)}
    return found, {name.removeprefix(PREFIX).removesuffix(BASE): value for name, value in bases.items()}


def _present(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        other = [part for part in (WEIGHTS, CONFIG) if (folder / part).is_file()]
        advice = "; copy it again" if other else contents(folder) or "; give the folder that PEFT wrote"
        raise FileNotFoundError(f"{folder} holds no LoRA adapter: {name} is missing{advice}")
    return folder / name


def targeted(record: Mapping[str, Any], found: Collection[str], folder: Path) -> Callable[[str], bool]:
    """PEFT's rule for the layers that an adapter lies beside, as a test of their names.

    The settings `target_modules` and `exclude_modules` list names or their ends. Where a pattern stands for a
    list, the layers found in the adapter's file are taken: its patterns are not run, for one may take for
    ever.

    Raises:
        ValueError: no layers are named.
    """
    targets, excluded = record.get("target_modules"), record.get("exclude_modules") or []
    if isinstance(targets, str) and targets != "all-linear":
        return set(found).__contains__
    if targets != "all-linear" and (not isinstance(targets, list) or not targets):
        raise ValueError(f"{folder}/{CONFIG} has no target_modules; copy it again")
    if isinstance(excluded, str):
        return lambda name: name in found

    def ends(name: str, listed: Sequence[Any]) -> bool:
        return any(name == end or name.endswith(f".{end}") for end in listed)

    return lambda name: (targets == "all-linear" or ends(name, targets)) and not ends(name, excluded)
