"""What `playloop merge` reads: a base, an adapter, and what else its training run left."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playloop.nn.adapter import CONFIG as ADAPTER_CONFIG
from playloop.nn.adapter import Factors, check_base, targeted
from playloop.nn.contents import contents
from playloop.nn.folder import read_record, write_record
from playloop.nn.lora import factor_shapes
from playloop.nn.shards import INDEX, Entry, read_tensors
from playloop.policies.openvla.checkpoint import CONFIG
from playloop.policies.openvla.files import copy_companions
from playloop.policies.openvla.pickles import ADAPTER, Step, choose_files
from playloop.policies.openvla.prompt import TOKENIZER
from playloop.policies.openvla.statistics import DATASET_STATISTICS


@dataclass(frozen=True)
class Sources:
    """What is read.

    Args:
        base: folder of the checkpoint beside which the adapter was trained.
        run: folder of the training run; the adapter's own where it lies alone.
        adapter: folder of the adapter.
    """

    base: Path
    run: Path
    adapter: Path

    @classmethod
    def of(cls, base: Path, run: Path) -> Sources:
        """Find run and adapter from either.

        Raises:
            FileNotFoundError: the base is no folder of a checkpoint.
            ValueError: the run holds merged weights.
        """
        base, run = (Path(os.path.abspath(path)) for path in (base, run))
        adapter = run / ADAPTER if (run / ADAPTER).is_dir() else run
        if adapter == run and (run.parent / DATASET_STATISTICS).is_file():
            run = run.parent
        if not (base / CONFIG).is_file() or not (base / TOKENIZER).is_file():
            advice = "" if (base / CONFIG).is_file() else contents(base)
            raise FileNotFoundError(
                f"{base} lacks {CONFIG} or {TOKENIZER}{advice or '; give the folder of a checkpoint'}"
            )
        if adapter != run and any(run.glob("*.safetensors")):
            raise ValueError(f"{run} holds merged weights beside its adapter already: use it as it is")
        return cls(base, run, adapter)


def plain_layer(name: str) -> str:
    """A layer's name in the weights; in a run with FiLM PEFT knows it within OFT's wrapper.

    `vision_backbone.vision_backbone.featurizer.blocks.0.block.attn.qkv`, for instance.
    """
    if not name.startswith(wrapper := "vision_backbone.vision_backbone."):
        return name
    return "vision_backbone." + re.sub(r"(blocks\.\d+)\.block\.", r"\1.", name.removeprefix(wrapper))


def check_fit(factors: Mapping[str, Factors], entries: Mapping[str, Entry], sources: Sources) -> None:
    """Refuse an adapter of another checkpoint, and one that is not whole."""
    for layer, (down, up, stored) in factors.items():
        entry, found = entries.get(f"{layer}.weight"), (tuple(down.shape), tuple(up.shape))
        if entry is None or factor_shapes(entry.shape, len(down)) != found:
            problem = "has no such layer" if entry is None else f"has {entry.shape} there"
            raise ValueError(
                f"{sources.adapter} adapts {layer} by {found[0]} and {found[1]}, and {sources.base} "
                f"{problem}; give the checkpoint that the training began with"
            )
        if not (down.isfinite().all() and up.isfinite().all()):
            raise ValueError(f"{sources.adapter}: {layer} holds numbers that are none; copy it again")
        if stored is not None:
            (_, weight), *_ = read_tensors(entries, [f"{layer}.weight"])
            check_base(layer, weight, stored, sources.adapter)
    settings = read_record(sources.adapter / ADAPTER_CONFIG)
    missing = sorted(
        layer for layer in _targeted(settings, factors, entries, sources) if layer not in factors
    )
    if missing or not factors:
        first = f", {missing[0]} first" if missing else ""
        raise ValueError(
            f"{sources.adapter} lacks {len(missing) or 'all'} of the layers that it adapts{first}; copy it "
            "again"
        )


def _targeted(
    settings: Mapping[str, Any],
    factors: Mapping[str, Factors],
    entries: Mapping[str, Entry],
    sources: Sources,
) -> list[str]:
    """The base's layers that an adapter's settings name; "all-linear" names those that it has."""
    targets = settings.get("target_modules")
    if not isinstance(targets, list):
        return []
    plain = dict(settings, target_modules=[plain_layer(str(target)) for target in targets])
    meant = targeted(plain, factors.keys(), sources.adapter)
    layers = [n.removesuffix(".weight") for n, entry in entries.items() if len(entry.shape) > 1]
    return [name for name in layers if meant(name)]


def check_room(sources: Sources, target: Path) -> None:
    files = [*sources.base.glob("*.safetensors"), *sources.run.glob("*.pt"), *sources.adapter.iterdir()]
    needed, free = sum(path.stat().st_size for path in files), shutil.disk_usage(target).free
    if needed > free:
        raise OSError(
            f"{needed / 1e9:.1f} GB are needed for {target.parent}, {free / 1e9:.1f} are free; make room, or "
            "name another out"
        )


def copy_others(sources: Sources, target: Path, step: Step | None, statistics: str | None) -> None:
    """All but the weights: of the run where it has a file, else of the base."""
    base, run = sources.base, sources.run
    for source in (base, run):
        copy_companions(source, target)
        for name in (CONFIG, INDEX, TOKENIZER, DATASET_STATISTICS):
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)
    parts = choose_files(run, step) or choose_files(base)
    for path in parts.values():
        shutil.copyfile(path, target / path.name)
    shutil.copytree(
        sources.adapter, target / ADAPTER
    )  # it tells OFT's code and ours the scale of FiLM's factors
    if statistics not in (None, "base"):
        shutil.copyfile(Path(statistics), target / DATASET_STATISTICS)
    elif statistics is None and not (run / DATASET_STATISTICS).is_file():
        raise FileNotFoundError(
            f"{run} has no {DATASET_STATISTICS}, which scales the actions; copy it there, give "
            "statistics=FILE, or statistics=base if the training used the base's"
        )
    if not (run / CONFIG).is_file():
        # How a base of ours is used says nothing of what OFT's code made of it; the sizes remain.
        record = read_record(target / CONFIG)
        own = {n: value for n, value in record.pop("playloop", {}).items() if n == "towers"}
        write_record(target / CONFIG, record | {"playloop": own})
