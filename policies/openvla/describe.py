"""What an OpenVLA checkpoint is, read from headers and JSON: no weights are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playloop.nn.folder import read_record
from playloop.nn.shards import tensor_bytes
from playloop.nn.vit import ViTConfig
from playloop.policies.checkpoint import scale_lines
from playloop.policies.openvla import pickles
from playloop.policies.openvla.checkpoint import CONFIG, Checkpoint, Unstated, open_checkpoint
from playloop.policies.openvla.config import Decoder, OpenVLAConfig
from playloop.policies.openvla.families import family_of
from playloop.policies.openvla.files import outline
from playloop.policies.openvla.prompt import PROMPTS
from playloop.policies.openvla.statistics import read_statistics, statistics_of
from playloop.tokenizers.grippers import GRIPPERS

Lines = list[tuple[str, str]]

NAMES: dict[tuple[Decoder, ...], str] = {
    ("autoregressive",): "OpenVLA, tokens one after the other",
    ("l1",): "OpenVLA-OFT, actions regressed (L1)",
    ("parallel",): "OpenVLA-OFT, tokens in one pass",
    ("diffusion",): "Discrete Diffusion VLA",
}

UNSTATED = "the files do not tell: give images, chunk and proprio when it is opened"
EITHER = "OpenVLA or OpenVLA-OFT with tokens: the files do not tell; give decoders when it is opened"

SEEN = {
    "causal": "causal",
    "full": "full: every token sees every token, so no key of the prefix can be kept",
    "block": "block-causal: the prefix does not see the actions, so its keys can be kept",
}


def describe(path: Path) -> Lines | None:
    """Lines of a label and a value; None for something else than an OpenVLA.

    Raises:
        ValueError: it is one, and damaged or incomplete.
        FileNotFoundError: it is one, and a file is missing.
    """
    if not (path / CONFIG).is_file() or read_record(path / CONFIG).get("model_type") != "openvla":
        return None
    checkpoint, stated, kind = _open(path)
    outline(checkpoint)
    config = checkpoint.config
    known = read_statistics(path)
    return [
        ("kind", kind),
        *_files(checkpoint),
        *_sizes(config),
        *_inputs(config, stated),
        *_tokens(path, config),
        *(line for key in sorted(known) for line in _statistics(path, key, known[key], config)),
    ]


def _open(path: Path) -> tuple[Checkpoint, bool, str]:
    """The checkpoint, whether its files tell pictures and chunk, and what kind it is."""
    sizes: dict[str, Any] = {"images": 1, "chunk": 1}
    if pickles.PROPRIO not in pickles.steps_of(path):
        sizes["proprio"] = 0
    decoders: dict[str, Any] = {"decoders": ("parallel",)}
    for stated in ({}, sizes, decoders, decoders | sizes):
        try:
            checkpoint = open_checkpoint(path, **stated)
        except Unstated as error:
            unstated = error
            continue
        found = checkpoint.config.decoders
        kind = EITHER if "decoders" in stated else NAMES.get(found, " or ".join(found))
        return checkpoint, "images" not in stated, kind
    raise unstated


def _files(checkpoint: Checkpoint) -> Lines:
    entries = checkpoint.entries.values()
    types = Counter[str]()
    for entry in entries:
        types[entry.dtype] += entry.elements
    files = {entry.file for entry in entries}
    lines = [
        ("parameters", f"{sum(types.values()):,}, with the parts that nothing reads"),
        ("type", ", ".join(f"{name} ({count:,})" for name, count in types.most_common())),
        ("weights", f"{len(files)} files, {sum(map(tensor_bytes, files)):,} bytes of tensors"),
    ]
    for part, steps in pickles.steps_of(checkpoint.folder).items():
        numbers = sum(value.numel() for value in checkpoint.states[part].values())
        listed, taken = ", ".join(map(str, steps)), checkpoint.parts[part].name
        lines.append((part, f"{numbers:,} parameters, steps {listed}: {taken} is taken"))
    return lines


def _sizes(config: OpenVLAConfig) -> Lines:
    sizes = config.llama
    stack = f"{sizes.layers} layers, width {sizes.width}, {sizes.heads} heads on {sizes.groups} of keys"
    towers = zip(("DINOv2", "SigLIP"), config.towers, strict=True)
    return [
        *((name, _tower(tower)) for name, tower in towers),
        ("projector", f"{config.features} to {4 * config.features} to {sizes.width} twice"),
        ("language model", f"{stack}, MLP {sizes.hidden}, eps {sizes.eps:g}, theta {sizes.theta:g}"),
    ]


def _tower(tower: ViTConfig) -> str:
    front = f", {tower.front} tokens in front" if tower.front else ""
    return (
        f"{tower.blocks} blocks of which {tower.built} are read, width {tower.width}, {tower.heads} heads, "
        f"MLP {tower.hidden}{front}"
    )


def _inputs(config: OpenVLAConfig, stated: bool) -> Lines:
    side = config.image
    return [
        ("pictures", f"{config.images} of {side} x {side}, {config.patches} tokens" if stated else UNSTATED),
        ("state", "not read" if config.proprio is None else f"{config.proprio} numbers, one token"),
        ("instruction", "prompt and FiLM" if config.film else "prompt"),
        ("attention", SEEN[config.attention]),
        ("actions", f"chunks of {config.chunk} with {config.action} numbers" if stated else UNSTATED),
    ]


def _tokens(path: Path, config: OpenVLAConfig) -> Lines:
    first, last = config.words - config.bins, config.words - 1
    bins = f"{config.bins} edges on [-1, 1], {config.bins - 1} bins, ids {first} to {last} as values fall"
    has_tokenizer = (path / "tokenizer.json").is_file()
    return [
        ("bins", bins),
        ("vocabulary", f"{config.words} words in {config.vocabulary} rows"),
        *([("mask", f"id {config.mask}")] if "diffusion" in config.decoders else []),
        ("tokenizer", "tokenizer.json" if has_tokenizer else "MISSING: copy tokenizer.json too"),
    ]


def _statistics(path: Path, key: str, record: Mapping[str, Any], config: OpenVLAConfig) -> Lines:
    lines = [("data set", key)]
    try:
        statistics_of({key: record}, key, epsilon=True)
    except ValueError as error:
        return [*lines, ("  not usable", str(error))]
    lines += scale_lines(record, ("action", "proprio"), "  ")
    try:
        family = family_of(key)
    except ValueError:
        return [*lines, ("  conventions", "of no environment that is known here")]
    contract, images = family.contract(1), family.images.with_moments_of(path)
    return [
        *lines,
        ("  environment", family.name),
        ("  action means", str(contract.action)),
        ("  gripper", GRIPPERS[family.gripper].meaning),
        ("  prompt", PROMPTS[family.prompt_of(config)][0]),
        ("  picture", f"{contract.image}; then {images.describe(*contract.cameras.values())}"),
    ]
