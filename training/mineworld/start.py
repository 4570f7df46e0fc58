"""The MineWorld that training begins with: one that exists, or new weights around a tokenizer that exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from playloop.tokenizers.minecraft import MineWorldActions
from playloop.tokenizers.vq import VQTokenizer
from playloop.worlds.checkpoint import is_mineworld
from playloop.worlds.mineworld.folder import load_mineworld, load_vq
from playloop.worlds.mineworld.model import PRESETS, MineWorld, MineWorldConfig
from playloop.worlds.mineworld.sampler import Order

UNUSED = 2
"""Ids behind those of the actions that the published models leave unused."""

Begun = tuple[MineWorld, VQTokenizer, Path, Order | None]


def begin(
    start: str | None, tokenizer: str | None, changes: Mapping[str, Any], start_queries: bool, seed: int
) -> Begun:
    """A float32 model to train, its frozen tokenizer in float32, the tokenizer's folder, and the order that
    the model was trained for, None if that is not known.

    Args:
        start: folder of a MineWorld, or a name in `PRESETS` for new weights.
        tokenizer: folder of a VQ tokenizer, or of a MineWorld that has one; for new weights only.
        changes: settings of `MineWorldConfig` that are not those of `start`.
        start_queries: add trained ones if there are none.
        seed: of new weights.

    Raises:
        FileNotFoundError: a folder or a part of it is missing.
        ValueError: something is damaged or does not fit; says what to do.
    """
    if start is not None and Path(start).is_dir():
        return _trained(Path(start), tokenizer, changes, start_queries)
    if start is not None and start in PRESETS:
        return _new(start, tokenizer, changes, start_queries, seed)
    raise ValueError(
        f"{start} is neither the folder of a MineWorld nor the name of published sizes: {', '.join(PRESETS)}"
    )


def _trained(folder: Path, tokenizer: str | None, changes: Mapping[str, Any], start_queries: bool) -> Begun:
    if not is_mineworld(folder):
        raise ValueError(f"{folder} holds no MineWorld; give a folder that `playloop convert` wrote")
    if tokenizer is not None:
        raise ValueError(f"{folder} brings its own tokenizer, whose tokens it knows; leave tokenizer out")
    world = load_mineworld(folder, "cpu", torch.float32)
    model, found = world.model.requires_grad_(True), world.model.config
    wanted = _changed(found, changes)
    for name in changes:
        if name != "context" and (here := getattr(found, name)) != (asked := getattr(wanted, name)):
            raise ValueError(
                f"{folder} has {name}={here}, not {asked}; leave model.{name} out, or train that size from "
                f"nothing with one of {', '.join(PRESETS)}"
            )
    wanted.check()
    if start_queries and model.start is None:
        wanted = replace(wanted, start_queries=True)
        # A query stands where a frame's token would: it begins as the mean of what can stand there.
        mean = model.token.weight.detach()[: found.codes].mean(0)
        model.start = nn.Parameter(mean.repeat(found.rows - 1, 1))
    model.config = wanted
    return model, world.tokenizer, folder / "tokenizer", world.trained


def _new(
    name: str, tokenizer: str | None, changes: Mapping[str, Any], start_queries: bool, seed: int
) -> Begun:
    if tokenizer is None:
        raise ValueError(
            f"{name} begins from nothing; give tokenizer=DIR, the folder of a VQ tokenizer or of a MineWorld"
        )
    folder = Path(tokenizer)
    folder = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
    vq = load_vq(folder)
    fixed: dict[str, Any] = {"rows": vq.rows, "columns": vq.columns, "codes": vq.codes}
    vocabulary = MineWorldActions(vq.codes).ids.stop + UNUSED
    sizes = replace(PRESETS[name], **fixed, vocabulary=vocabulary, start_queries=start_queries)
    sizes = _changed(sizes, changes)
    wrong = [key for key, value in fixed.items() if getattr(sizes, key) != value]
    if wrong:
        raise ValueError(
            f"model.{wrong[0]}={getattr(sizes, wrong[0])}, but the tokenizer {folder} has {fixed[wrong[0]]}; "
            f"leave model.{wrong[0]} out"
        )
    return sizes.make(seed), vq, folder, None


def _changed(sizes: MineWorldConfig, changes: Mapping[str, Any]) -> MineWorldConfig:
    """The sizes with some of them replaced."""
    known = [field.name for field in fields(sizes) if field.name != "start_queries"]
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"model.{name}: there is no such size; there are {', '.join(known)}")
        kind = type(getattr(sizes, name))
        if kind is bool and type(value) is not bool:
            raise ValueError(f"model.{name}={value} must be true or false")
        if kind is not bool and (type(value) not in (int, kind) or value <= 0):
            raise ValueError(f"model.{name}={value} must be a {kind.__name__} above 0")
    return replace(sizes, **changes)
