"""Weights of an OpenVLA checkpoint in its published layout: a Hugging Face folder, and OFT's further files.

Reading is strict: everything is checked by name, shape and length before the first weight is read, and
weights are filled in one at a time into a model that has no memory before. One hash stands for the files that
decide what a policy does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playloop.core.scratch import staged
from playloop.nn.adapter import CONFIG as ADAPTER_CONFIG
from playloop.nn.building import build_outline
from playloop.nn.folder import write_record
from playloop.nn.manifest import MANIFEST, RECORDS, check_manifest, file_hashes, files_of
from playloop.nn.shards import FLOATS, Entry, read_tensors, write_shards
from playloop.nn.slots import Slot, check_shapes, fill_slots, published
from playloop.policies.golden import is_bound
from playloop.policies.openvla import names, pickles
from playloop.policies.openvla.checkpoint import CONFIG, Checkpoint, open_checkpoint
from playloop.policies.openvla.config import OpenVLAConfig, network_record
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.pickles import Step
from playloop.policies.openvla.statistics import DATASET_STATISTICS

COMPANIONS = (
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
)
"""Files beside a checkpoint's weights that fine-tuning leaves as they are; its Python files stay behind."""

READ = ("*.json", "*.safetensors", "*_checkpoint.pt", f"{pickles.ADAPTER}/{ADAPTER_CONFIG}")
"""Files of a folder that decide what its policy does, but for `UNREAD`; the last scales FiLM's factors."""

UNREAD = (*RECORDS, MANIFEST)
"""How a checkpoint came about, and what it consists of."""


def copy_companions(source: Path, target: Path) -> None:
    """Take along those of `COMPANIONS` that a checkpoint has."""
    for name in COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def read_openvla(
    folder: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    step: Step | None = None,
    **stated: Any,
) -> OpenVLA:
    """A checkpoint's network, for evaluation; `step` and what is stated as of `open_checkpoint`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the checkpoint is damaged, incomplete or of something else; names the file and the fix.
    """
    checkpoint = open_checkpoint(folder, step, **stated)
    return read_weights(checkpoint, outline(checkpoint), device, dtype)


def read_weights(
    checkpoint: Checkpoint, model: OpenVLA, device: str | torch.device, dtype: torch.dtype
) -> OpenVLA:
    """A checkpoint's `outline` filled with its weights, for evaluation.

    Raises:
        ValueError: a file is damaged.
    """
    model = model.to(dtype).to_empty(device=device)
    try:
        fill_slots(model, _all_slots(checkpoint.config), _tensors(checkpoint))
    except ValueError as error:
        raise ValueError(f"{checkpoint.folder}: {error}; download the weights again") from error
    return model.eval().requires_grad_(False)


def in_bfloat16(checkpoint: Checkpoint) -> bool:
    """Whether every weight that is loaded is stored in bfloat16, and none is still to be merged."""
    entries = (entry.dtype for name, entry in checkpoint.entries.items() if not names.is_rotary(name))
    parts = [item for state in checkpoint.states.values() for item in state.items()]
    return {*entries} <= {"BF16"} and all(
        value.dtype == torch.bfloat16 and ".lora_" not in name for name, value in parts
    )


def outline(checkpoint: Checkpoint) -> OpenVLA:
    """A checkpoint's network on the meta device, once its files hold that network's tensors.

    Raises:
        ValueError: they do not; see `check_checkpoint`, and `nn.building` for far larger sizes.
    """
    entries = dict(checkpoint.entries)
    for part, state in checkpoint.states.items():
        path = checkpoint.parts[part]
        entries |= {f"{part}/{n}": Entry(path, "F32", tuple(v.shape)) for n, v in state.items()}
    model = build_outline(lambda: OpenVLA(checkpoint.config), entries, checkpoint.folder)
    check_checkpoint(checkpoint, model)
    return model


def check_checkpoint(checkpoint: Checkpoint, model: OpenVLA) -> None:
    """Refuse a checkpoint whose tensors are not those of its configuration, of which the model is built.

    Raises:
        ValueError: a tensor is missing, unknown, of another shape or no floating-point number.
    """
    config, folder = checkpoint.config, checkpoint.folder
    found: names.Shapes = {}
    for name, entry in checkpoint.entries.items():
        if names.is_rotary(name):
            continue
        if entry.dtype not in FLOATS:
            raise ValueError(
                f"{entry.file}: {name} has the type {entry.dtype}, not one of {', '.join(FLOATS)}"
            )
        if names.current(name) in found:
            raise ValueError(f"{folder}: {names.current(name)} comes twice, as {name} too; download it again")
        found[names.current(name)] = entry.shape
    slots = names.vision_slots(config) | names.language_slots(config)
    _check(model, slots, found, names.vision_unused(config), folder)
    for part, state in checkpoint.states.items():
        path = checkpoint.parts[part]
        try:
            shapes = pickles.plain_shapes(state)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; download it again") from error
        found = {names.current(name): shape for name, shape in shapes.items()}
        unused = names.vision_unused(config, film=True) if part == pickles.VISION else {}
        _check(model, _part_slots(config, part), found, unused, path)


def _check(
    model: OpenVLA, slots: Mapping[str, Slot], found: names.Shapes, unused: names.Shapes, path: Path
) -> None:
    """`check_shapes`, with what nothing reads held against its own shapes, and the file named."""
    wrong = [name for name in found.keys() & unused.keys() if tuple(found[name]) != unused[name]]
    try:
        if wrong:
            first = min(wrong)
            raise ValueError(f"{first} has the shape {tuple(found[first])}, not {unused[first]}")
        check_shapes(model, slots, {name: shape for name, shape in found.items() if name not in unused})
    except ValueError as error:
        raise ValueError(
            f"{path} does not fit its {CONFIG}: {error}; download the whole checkpoint again, from one source"
        ) from error


def _part_slots(config: OpenVLAConfig, part: str) -> dict[str, Slot]:
    slots = {pickles.PROPRIO: names.proprio_slots, pickles.HEAD: names.head_slots}
    return slots[part]() if part in slots else names.vision_slots(config, film=True)


def _all_slots(config: OpenVLAConfig) -> dict[str, Slot]:
    """The slots of every tensor that is loaded, by part and name: two files may use one name."""
    slots = names.language_slots(config) | ({} if config.film else names.vision_slots(config))
    for part in _parts_of(config):
        slots |= {f"{part}/{name}": slot for name, slot in _part_slots(config, part).items()}
    return slots


def _parts_of(config: OpenVLAConfig) -> list[str]:
    there = zip(pickles.PARTS, (config.proprio is not None, config.l1, config.film), strict=True)
    return [part for part, present in there if present]


def _tensors(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Everything that is loaded, one tensor at a time."""
    slots = _all_slots(checkpoint.config)
    wanted = [name for name in checkpoint.entries if names.current(name) in slots]
    for name, value in read_tensors(checkpoint.entries, wanted):
        yield names.current(name), value
    for part, state in checkpoint.states.items():
        for name, value in pickles.merge_lora(state, checkpoint.folder):
            full = f"{part}/{names.current(name)}"
            if full in slots:
                yield full, value


def write_openvla(
    folder: str | Path,
    model: OpenVLA,
    statistics: Mapping[str, Any],
    tokenizer: str,
    *,
    step: Step = "latest",
    rank: int = 32,
    limit: int = 5_000_000_000,
    unused: Callable[[tuple[int, ...]], Tensor] = torch.zeros,
) -> Path:
    """The inverse of `read_openvla`, in the weights' own type; whole or not at all, in place of an older one.

    Args:
        folder: to write.
        model: whose weights.
        statistics: data set → its record; goes into `config.json` and `dataset_statistics.json`.
        tokenizer: content of `tokenizer.json`.
        step: in the names of OFT's files.
        rank: of the adapters, without effect, that OFT's code expects in FiLM's file.
        limit: bytes of a shard.
        unused: fills a shape, for parts that nothing here reads and the published code builds.
    """
    folder, config = Path(folder), model.config
    dtype = model.table.weight.dtype
    with staged(folder) as partial:
        record = network_record(config) | {"norm_stats": statistics, "torch_dtype": str(dtype).split(".")[1]}
        write_record(partial / CONFIG, record)
        write_record(partial / DATASET_STATISTICS, statistics)
        (partial / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer), ensure_ascii=False))
        tensors = published(model, names.vision_slots(config) | names.language_slots(config))
        tensors |= _filled(names.vision_unused(config), unused, dtype)
        write_shards(partial, tensors, limit)
        for part in _parts_of(config):
            state = published(model, _part_slots(config, part))
            if part == pickles.VISION:
                state |= _filled(names.vision_unused(config, film=True), unused, dtype)
                state = pickles.within_peft(state, rank)
            else:  # both were wrapped by DistributedDataParallel when they were saved
                state = {f"module.{name}": value for name, value in state.items()}
            state = {name: value.cpu().clone() for name, value in state.items()}
            torch.save(state, partial / f"{part}--{step}_checkpoint.pt")
    return folder


def _filled(
    shapes: names.Shapes, unused: Callable[[tuple[int, ...]], Tensor], dtype: torch.dtype
) -> dict[str, Tensor]:
    return {name: unused(shape).to(dtype) for name, shape in shapes.items()}


def read_hashes(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file that decides what a policy does, by its name in the folder."""
    return file_hashes(folder, [name for name in files_of(folder, READ) if name not in UNREAD])


def hash_of(hashes: Mapping[str, str]) -> str:
    """One name for a checkpoint: SHA-256 over the files that decide what its policy does."""
    lines = [f"{name} {hashes[name]}" for name in sorted(hashes, key=Path)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_bound(folder: str | Path) -> dict[str, str]:
    """Refuse a folder that Playloop wrote and somebody altered; published ones have no manifest.

    Returns:
        As `read_hashes`; nothing where there is no manifest.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file was altered or added.
    """
    found = check_manifest(folder, READ, required=is_bound(Path(folder)))
    wanted = {name for name in files_of(folder, READ) if name not in UNREAD}
    return {name: value for name, value in found.items() if name in wanted}
