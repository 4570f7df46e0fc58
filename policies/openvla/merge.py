"""A published base and what OFT's training left beside it → one checkpoint with the adapter in its weights.

OpenVLA-OFT saves adapters, its further files and statistics, and leaves merging for later. Weights are merged
file by file, so that one shard lies in memory at a time.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from playloop.core.annotations import Count, Natural
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.core.scratch import staged
from playloop.nn.adapter import CONFIG as ADAPTER_CONFIG
from playloop.nn.adapter import Factors, check_base, read_adapter_config, read_factors, targeted
from playloop.nn.contents import contents
from playloop.nn.folder import read_record, write_record
from playloop.nn.lora import factor_shapes, product
from playloop.nn.manifest import RECORDS, write_manifest
from playloop.nn.shards import INDEX, Entry, read_shards, read_tensors, write_shard
from playloop.policies.openvla.checkpoint import CONFIG, Checkpoint, read_config
from playloop.policies.openvla.config import network_record
from playloop.policies.openvla.families import Family, choose_family
from playloop.policies.openvla.files import copy_companions, outline, read_openvla
from playloop.policies.openvla.pickles import ADAPTER, Step, choose_files, read_part
from playloop.policies.openvla.policy import check_parts, write_golden
from playloop.policies.openvla.prompt import TOKENIZER, PromptEncoder
from playloop.policies.openvla.statistics import DATASET_STATISTICS, read_statistics, statistics_of

RECORD = "merge.json"
"""Where the weights come from."""


@kind("openvla-merge")
@checked(frozen=True)
class MergeConfig:
    """What is added to the merged weights, and what their files do not tell.

    Args:
        golden: let the merged checkpoint decide once, and store the decision with it; `playloop eval` decides
            again and compares.
        family: of environments, for that decision; None: the data set's.
        unnorm_key: data set whose statistics scale its actions; None: the only one.
        step: of OFT's further files; None for the latest.
        images: pictures of an observation, where the files do not tell; see `checkpoint.read_config`.
        chunk: actions of a decision, likewise.
        proprio: size of the robot's state, likewise.
        decoders: how chunks are decoded, [parallel] or [diffusion], likewise.
        gripper: "opening" or "closing" where the data set stores it from -1 to 1; see
            `grippers.choose_stored`.
        statistics: file of the data set's statistics where the run has none; "base" for the base's own.
    """

    golden: bool = True
    family: str | None = None
    unnorm_key: str | None = None
    step: int | str | None = None
    images: Count | None = None
    chunk: Count | None = None
    proprio: Natural | None = None
    decoders: list[str] | None = None
    gripper: str | None = None
    statistics: str | None = None

    @property
    def stated(self) -> dict[str, Any]:
        """For `read_config`."""
        decoders = None if self.decoders is None else tuple(self.decoders)
        return {"images": self.images, "chunk": self.chunk, "proprio": self.proprio, "decoders": decoders}


def merge_run(base: Path, run: Path, out: Path, config: MergeConfig, command: str = "") -> int:
    """Write the merged checkpoint, whole or not at all; an older folder is replaced.

    Args:
        base: folder of the checkpoint beside which the adapter was trained.
        run: folder of the training run, or the adapter's in it.
        out: folder to write.
        config: see there.
        command: the command line, for the record.

    Returns:
        How many layers were merged.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, the adapter is not one of this base, or the merged files do not say how
            the checkpoint is used.
        OSError: there is no room.
    """
    sources = Sources.of(base, run)
    entries = read_shards(sources.base)
    factors = {plain_layer(name): pair for name, pair in read_factors(sources.adapter).items()}
    check_fit(factors, entries, sources)
    scale = read_adapter_config(sources.adapter).scale
    with staged(out) as partial:
        check_room(sources, partial)
        copy_others(sources, partial, config.step, config.statistics)
        try:
            decider = _check_use(partial, entries, config)
        except ValueError as error:  # nobody will find the scratch folder
            raise ValueError(str(error).replace(str(partial), str(sources.run))) from error
        for path in sorted({entry.file for entry in entries.values()}):
            inside = [name for name, entry in entries.items() if entry.file == path]
            # the comprehension's tensors are out of memory before the next file's come
            write_shard(
                partial / path.name,
                {n: merged(n, value, factors, scale) for n, value in read_tensors(entries, inside)},
            )
        made = {"base": str(sources.base), "run": str(sources.run), "command": command}
        write_record(partial / RECORD, made)
        if decider is not None:
            _write_golden(partial, *decider, config.gripper)
        write_manifest(partial, RECORDS)
    return len(factors)


def merged(name: str, value: Tensor, factors: Mapping[str, Factors], scale: float) -> Tensor:
    """A tensor of the base, with its layer's product added in float32 and rounded once."""
    pair = factors.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
    if pair is None:
        return value
    return (value.float() + scale * product(pair.down.float(), pair.up.float())).to(value.dtype)


def _check_use(folder: Path, entries: dict[str, Entry], config: MergeConfig) -> tuple[Family, str] | None:
    """Settle how the checkpoint is used, write it down, and see that its small files fit.

    Returns environment and data set of the golden decision; None where none is wanted.
    """
    parts = choose_files(folder)
    states = {part: read_part(path) for part, path in parts.items()}
    network = read_config(folder, states, **config.stated)
    own = {"playloop": network_record(network)["playloop"]}
    write_record(folder / CONFIG, read_record(folder / CONFIG) | own)
    outline(Checkpoint(folder, network, entries, parts, states))
    PromptEncoder(folder)
    known = read_statistics(folder)
    if not config.golden:
        return None
    family, key = choose_family(known, config.family, config.unnorm_key)
    size, epsilon = network.action, not network.single
    statistics = statistics_of(known, key, epsilon=epsilon, gripper=config.gripper, size=size)
    check_parts(network, family.contract(network.images), statistics)
    return family, key


def _write_golden(folder: Path, family: Family, key: str, gripper: str | None) -> None:
    """A decision on pictures and a state of noise: any observation shows that a weight has changed."""
    model = read_openvla(folder)
    contract, noise = family.contract(model.config.images), np.random.default_rng(0)
    sizes = contract.cameras.items()
    observation = {
        "images": {name: noise.integers(0, 256, (*size, 3), np.uint8) for name, size in sizes},
        "state": noise.normal(size=len(contract.state_names)).astype(np.float32),
        "instruction": "pick up the object and place it in the basket",
    }
    write_golden(folder, model, observation, family.name, key, gripper)


@dataclass(frozen=True)
class Sources:
    """Folders that are read: base, training run (the adapter's own where it lies alone) and adapter."""

    base: Path
    run: Path
    adapter: Path

    @classmethod
    def of(cls, base: Path, run: Path) -> Sources:
        """Find run and adapter from either; refuses a base without a checkpoint and a run that is merged."""
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
    missing = sorted(set(_targeted(factors, entries, sources)) - factors.keys())
    if missing or not factors:
        first = f", {missing[0]} first" if missing else ""
        raise ValueError(
            f"{sources.adapter} lacks {len(missing) or 'all'} of the layers that it adapts{first}; copy it "
            "again"
        )


def _targeted(factors: Mapping[str, Factors], entries: Mapping[str, Entry], sources: Sources) -> list[str]:
    """The base's layers that an adapter's settings name; "all-linear" names those that it has."""
    settings = read_record(sources.adapter / ADAPTER_CONFIG)
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
    shutil.copytree(sources.adapter, target / ADAPTER)  # it tells the scale of FiLM's factors
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
