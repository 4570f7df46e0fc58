"""A published base and what OFT's training left beside it → one checkpoint with the adapter in its weights.

OpenVLA-OFT saves adapters, its further files and statistics, and leaves merging for later. Weights are merged
file by file, so that one shard lies in memory at a time.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from playloop.nn.adapter import Factors, check_base, read_adapter_config, read_factors
from playloop.nn.folder import read_record, staged, write_record
from playloop.nn.lora import factor_shapes, product
from playloop.nn.shards import INDEX, Entry, read_shards, read_tensors
from playloop.policies.openvla.checkpoint import CONFIG, open_checkpoint, read_config
from playloop.policies.openvla.config import OpenVLAConfig, network_record
from playloop.policies.openvla.families import Family, choose_family, family_of
from playloop.policies.openvla.files import check_checkpoint, copy_companions, read_openvla
from playloop.policies.openvla.golden import write_golden
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.pickles import ADAPTER, choose_files, read_part
from playloop.policies.openvla.prompt import TOKENIZER
from playloop.policies.openvla.statistics import DATASET_STATISTICS, choose_key, read_statistics

RECORD = "merge.json"
"""Where the weights come from."""


@dataclass(frozen=True)
class MergeConfig:
    """What is added to the merged weights, and what their files do not tell.

    Args:
        golden: let the merged checkpoint decide once, and store the decision with it; `playloop eval` decides
            again and compares.
        family: of environments, for that decision; None: the data set's.
        unnorm_key: data set whose statistics scale its actions; None: the only one.
        step: of OFT's further files; None for the latest.
        images: pictures of an observation, chunk: actions of a decision, proprio: size of the robot's state,
            where the files do not tell; see `checkpoint.read_config`.
    """

    golden: bool = True
    family: str | None = None
    unnorm_key: str | None = None
    step: int | str | None = None
    images: int | None = None
    chunk: int | None = None
    proprio: int | None = None

    @property
    def stated(self) -> dict[str, Any]:
        """For `open_checkpoint`."""
        given = {"images": self.images, "chunk": self.chunk, "proprio": self.proprio}
        return {name: value for name, value in given.items() if value is not None}


def merge_run(base: Path, run: Path, out: Path, config: MergeConfig, command: str = "") -> int:
    """Write the merged checkpoint, whole or not at all.

    Args:
        base: folder of the checkpoint beside which the adapter was trained.
        run: folder of the training run, or the adapter's in it.
        out: folder to write; an older one is replaced.
        config: see there.
        command: the command line, for the record.

    Returns:
        How many layers were merged.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, the adapter is not one of this base, or the merged files do not say how
            the checkpoint is used.
    """
    run = run.parent if run.name == ADAPTER else run
    adapter = run / ADAPTER if (run / ADAPTER).is_dir() else run
    _check_folders(base, run, adapter)
    entries, factors = read_shards(base), {plain_layer(n): pair for n, pair in read_factors(adapter).items()}
    _check_fit(factors, entries, adapter, base)
    scale = read_adapter_config(adapter).scale
    with staged(out) as partial:
        _copy_others(base, run, adapter, partial, config)
        try:
            network = _state_config(partial, config)
            decider = _decider(partial, config) if config.golden else None
        except ValueError as error:  # nobody will find the scratch folder
            raise ValueError(str(error).replace(str(partial), str(run))) from error
        for path in sorted({entry.file for entry in entries.values()}):
            inside = {name: entry for name, entry in entries.items() if entry.file == path}
            _write_shard(partial / path.name, inside, factors, scale)
        with torch.device("meta"):
            check_checkpoint(open_checkpoint(partial), OpenVLA(network))
        write_record(partial / RECORD, {"base": str(base), "run": str(run), "command": command})
        if decider:
            _write_golden(partial, *decider)
    return len(factors)


def plain_layer(name: str) -> str:
    """A layer's name in the weights; in a run with FiLM PEFT knows it within OFT's wrapper.

    `vision_backbone.vision_backbone.featurizer.blocks.0.block.attn.qkv`, for instance.
    """
    if not name.startswith(wrapper := "vision_backbone.vision_backbone."):
        return name
    return "vision_backbone." + re.sub(r"(blocks\.\d+)\.block\.", r"\1.", name.removeprefix(wrapper))


def merged(name: str, value: Tensor, factors: Mapping[str, Factors], scale: float) -> Tensor:
    """A tensor of the base, with its layer's product added in float32 and rounded once."""
    pair = factors.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
    if pair is None:
        return value
    return (value.float() + scale * product(pair.down.float(), pair.up.float())).to(value.dtype)


def _write_shard(
    path: Path, entries: Mapping[str, Entry], factors: Mapping[str, Factors], scale: float
) -> None:
    """One file of the base, merged; its tensors are out of memory afterwards."""
    tensors = {name: merged(name, value, factors, scale) for name, value in read_tensors(entries, entries)}
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors gives it to the owner alone


def _check_folders(base: Path, run: Path, adapter: Path) -> None:
    if not (base / CONFIG).is_file() or not (base / TOKENIZER).is_file():
        raise FileNotFoundError(f"{base} lacks {CONFIG} or {TOKENIZER}; give the folder of a checkpoint")
    if adapter != run and any(run.glob("*.safetensors")):
        raise ValueError(f"{run} holds merged weights beside its adapter already: use it as it is")


def _check_fit(
    factors: Mapping[str, Factors], entries: Mapping[str, Entry], adapter: Path, base: Path
) -> None:
    for layer, (down, up, stored) in factors.items():
        entry, found = entries.get(f"{layer}.weight"), (tuple(down.shape), tuple(up.shape))
        if entry is None or factor_shapes(entry.shape, len(down)) != found:
            problem = "has no such layer" if entry is None else f"has {entry.shape} there"
            raise ValueError(
                f"{adapter} adapts {layer} by {found[0]} and {found[1]}, and {base} {problem}; give the "
                "checkpoint that the training began with"
            )
        if stored is not None:
            (_, weight), *_ = read_tensors(entries, [f"{layer}.weight"])
            check_base(layer, weight, stored, adapter)


def _copy_others(base: Path, run: Path, adapter: Path, target: Path, config: MergeConfig) -> None:
    """All but the weights: of the run where it has a file, else of the base."""
    for source in (base, run):
        copy_companions(source, target)
        for name in (CONFIG, INDEX, TOKENIZER, DATASET_STATISTICS):
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)
    parts = choose_files(run, config.step) or choose_files(base)
    for path in parts.values():
        shutil.copyfile(path, target / path.name)
    shutil.copytree(adapter, target / ADAPTER)  # it tells OFT's code and ours the scale of FiLM's factors
    if not (run / CONFIG).is_file():
        # How a base of ours is used says nothing of what OFT's code made of it; the sizes remain.
        record = read_record(target / CONFIG)
        own = {n: value for n, value in record.pop("playloop", {}).items() if n == "towers"}
        write_record(target / CONFIG, record | {"playloop": own})


def _state_config(folder: Path, config: MergeConfig) -> OpenVLAConfig:
    """Write down what was stated or inferred, so that nobody has to state it again."""
    states = {part: read_part(path) for part, path in choose_files(folder).items()}
    network = read_config(folder, states, **config.stated)
    own = {"playloop": network_record(network)["playloop"]}
    write_record(folder / CONFIG, read_record(folder / CONFIG) | own)
    return network


def _decider(folder: Path, config: MergeConfig) -> tuple[Family, str]:
    """Environment and data set of the golden decision."""
    known = read_statistics(folder)
    family, wanted = choose_family(config.family, list(known), config.unnorm_key)
    key = choose_key(known, wanted)
    return family or family_of(key), key


def _write_golden(folder: Path, family: Family, key: str) -> None:
    """A decision on pictures and a state of noise: any observation shows that a weight has changed."""
    model = read_openvla(folder)
    contract, noise = family.contract(model.config.images), np.random.default_rng(0)
    sizes = contract.cameras.items()
    observation = {
        "images": {name: noise.integers(0, 256, (*size, 3), np.uint8) for name, size in sizes},
        "state": noise.normal(size=len(contract.state_names)).astype(np.float32),
        "instruction": "pick up the object and place it in the basket",
    }
    write_golden(folder, model, observation, family.name, key)
