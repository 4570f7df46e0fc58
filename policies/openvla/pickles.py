"""OpenVLA-OFT's further files, `{part}--{step}_checkpoint.pt`: torch pickles, read without running them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from playloop.nn.adapter import CONFIG, read_adapter_config
from playloop.nn.lora import LoRAConfig, factor_shapes, product
from playloop.nn.pickles import read_pickle

ADAPTER = "lora_adapter"
"""Folder of the adapter within that of a training run."""

PROPRIO, HEAD, VISION = "proprio_projector", "action_head", "vision_backbone"
PARTS = (PROPRIO, HEAD, VISION)
FOREIGN = "noisy_action_projector"
"""Belongs to OFT's continuous diffusion head, which is not built here."""

Step = int | str
"""Training step of a file, or "latest"."""


def steps_of(folder: Path) -> dict[str, dict[Step, Path]]:
    """Part → step → file, of the parts that the folder has; numbers ascend, "latest" comes last."""
    found: dict[str, dict[Step, Path]] = {}
    for path in folder.glob("*--*checkpoint.pt"):
        match = re.fullmatch(r"(\w+)--(?:(\d+)|latest)_checkpoint\.pt", path.name)
        if match and match[1] in (*PARTS, FOREIGN):
            step: Step = "latest" if match[2] is None else int(match[2])
            found.setdefault(match[1], {})[step] = path
    return {part: {step: files[step] for step in sorted(files, key=_order)} for part, files in found.items()}


def _order(step: Step) -> float:
    return float("inf") if isinstance(step, str) else step


def choose_files(folder: Path, step: Step | None = None) -> dict[str, Path]:
    """One file for each part that the folder has, all of one step; None: the latest that every part has.

    Raises:
        ValueError: the parts have no such step in common, or belong to a head that is not built here.
    """
    step = int(step) if isinstance(step, str) and step.isdigit() else step
    found = steps_of(folder)
    if FOREIGN in found:
        raise ValueError(
            f"{folder} holds a {FOREIGN}: OFT's continuous diffusion head is not built here; use an L1 or a "
            "discrete checkpoint"
        )
    if not found and step is not None:
        raise ValueError(f"{folder} has no files of step {step}; leave the step out")
    if not found:
        return {}
    common = set.intersection(*(set(files) for files in found.values()))
    listed = "; ".join(f"{part}: {', '.join(map(str, files))}" for part, files in found.items())
    if not common or (step is not None and step not in common):
        wanted = "no step" if step is None else f"step {step} not"
        raise ValueError(f"{folder} has {wanted} for every part ({listed}); give a step that all have")
    chosen = max(common, key=_order) if step is None else step
    return {part: files[chosen] for part, files in found.items()}


def read_part(path: Path) -> dict[str, Tensor]:
    """A part's tensors by name, without DataParallel's `module.`.

    Raises:
        ValueError: see `nn.pickles.read_pickle`; or a tensor is no floating-point one.
    """
    tensors = {name.removeprefix("module."): value for name, value in read_pickle(path).items()}
    if wrong := [name for name, value in tensors.items() if not value.is_floating_point()]:
        raise ValueError(f"{path}: {wrong[0]} is {tensors[wrong[0]].dtype}, and weights are floating-point")
    return tensors


def lora_scale(folder: Path, rank: int) -> float:
    """What a LoRA product is multiplied with: as its adapter says, else OFT's rule.

    Raises:
        ValueError: it is damaged, more than plain LoRA, or of another rank.
    """
    record = folder / ADAPTER / CONFIG
    if not record.is_file():
        return LoRAConfig(rank).scale
    found = read_adapter_config(folder / ADAPTER)
    if found.rank != rank:
        raise ValueError(f"{record} has rank {found.rank}, the weights {rank}; they are of two runs")
    return found.scale


def plain_shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name of a state with LoRA's factors merged, see `merge_lora`.

    Raises:
        ValueError: a factor lacks its partner or its layer, or does not fit them.
    """
    factors = {name for name in state if ".lora_" in name}
    shapes: dict[str, tuple[int, ...]] = {}
    for name in state.keys() - factors:
        shape = shapes[_plain(name)] = tuple(state[name].shape)
        if not name.endswith(BASE):
            continue
        down, up = (state.get(factor) for factor in _factors(name))
        if down is None or up is None or (down.shape, up.shape) != factor_shapes(shape, len(down)):
            raise ValueError(f"{_plain(name)} lacks one of LoRA's factors, or they have another shape")
        factors -= set(_factors(name))
    if factors:
        raise ValueError(f"{min(factors)} adapts no layer")
    return shapes


def merge_lora(state: Mapping[str, Tensor], folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Plain layers of a state that was saved from inside PEFT, as FiLM's file is, one at a time.

    Its names have PEFT's `base_layer`, `lora_A.default` and `lora_B.default`; see `plain_shapes`.
    Convolutions have factors, too: "all-linear" takes layers by the ends of their names, and
    `patch_embed.proj` ends as the attention's `proj` does. The checkpoint's folder may tell LoRA's scale.

    Yields:
        Names and values; an adapted layer is its base and the scaled product of its factors, in float32.
    """
    for name, value in state.items():
        if ".lora_" in name:
            continue
        if name.endswith(BASE):
            down, up = (state[factor].float() for factor in _factors(name))
            value = value.float() + lora_scale(folder, len(down)) * product(down, up)
        yield _plain(name), value


def within_peft(state: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The inverse of `merge_lora`, for layers that are merged: OFT reads FiLM's file into adapted layers.

    A new adapter lies beside every layer, as PEFT's "gaussian" makes it: B is 0, so that nothing is added to
    the weight, exactly; A ~ N(0, 1 / rank), from a fixed seed, so that it can be trained. OFT must be given
    the same rank (`lora_rank`).
    """
    generator, found = torch.Generator().manual_seed(0), {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        weight = state.get(f"{layer}.weight")
        if weight is None or weight.ndim < 2 or layer.endswith(UNADAPTED):
            found[name] = value
            continue
        found[f"{layer}.base_layer.{part}"] = value
        if part == "weight":
            (down, up), shapes = _factors(f"{layer}{BASE}"), factor_shapes(tuple(value.shape), rank)
            found[down] = (torch.randn(shapes[0], generator=generator) / rank).to(value.dtype)
            found[up] = value.new_zeros(shapes[1])
    return found


BASE = ".base_layer.weight"

UNADAPTED = (".scale", ".shift")
"""FiLM's own layers, which OFT adds after PEFT has adapted the others."""


def _plain(name: str) -> str:
    return name.replace(".base_layer.", ".")


def _factors(name: str) -> tuple[str, str]:
    layer = name.removesuffix(BASE)
    return f"{layer}.lora_A.default.weight", f"{layer}.lora_B.default.weight"
