"""What a world model, a frame tokenizer or an inverse-dynamics model is: headers are read, no weights."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from playloop.core.formats import check_format
from playloop.core.kinds import KEY
from playloop.nn.contents import NOUNS
from playloop.nn.folder import WEIGHTS, read_record
from playloop.nn.pickles import read_pickle
from playloop.nn.record import model_kind, to_record
from playloop.nn.shards import read_header
from playloop.tokenizers.vq import VQConfig
from playloop.worlds.checkpoint import PARTS, WORLD
from playloop.worlds.mineworld.files import (
    ENDINGS,
    GridMismatch,
    SeveralSizes,
    candidates,
    find_file,
    read_halves,
    read_published,
)
from playloop.worlds.mineworld.folder import MINEWORLD, MineWorldPlay
from playloop.worlds.mineworld.model import PREFIX, PRESETS, MineWorldConfig
from playloop.worlds.model import WorldConfig
from playloop.worlds.reading import read_conventions, read_order, read_sizes, read_surroundings


def describe(path: Path) -> list[tuple[str, str]] | None:
    """Lines of a label and a value; None for something else.

    Args:
        path: a folder that `playloop train` or `playloop convert` wrote, a published MineWorld or its folder.

    Raises:
        ValueError: it is one, and damaged.
        FileNotFoundError: it is one, and a file is missing.
    """
    if not (path / "config.json").is_file():
        return describe_published(path)
    record = read_record(path / "config.json")
    found = DESCRIBED.get(str(model_kind(record)))
    return found(path, record) if found else None


def _describe_world(path: Path, record: dict[str, Any]) -> list[tuple[str, str]]:
    contract = read_conventions(path)
    tokenizer = [(f"tokenizer {label}", value) for label, value in describe(path / "tokenizer") or []]
    return [
        *_describe_part(path, record),
        ("environment", contract.family),
        *contract.described(),
        *tokenizer,
    ]


def _describe_part(path: Path, record: dict[str, Any]) -> list[tuple[str, str]]:
    check_format(record, path / "config.json")
    kind = str(model_kind(record))
    config, classes = PARTS[kind][:2] if kind in PARTS else (WorldConfig, ())
    model = to_record(read_sizes(record, path, config, *classes))
    entries = read_header(path / WEIGHTS).values()
    return [
        ("kind", f"{NOUNS[kind]} of playloop"),
        ("parameters", f"{sum(entry.elements for entry in entries):,}"),
        ("type", ", ".join(sorted({entry.dtype for entry in entries}))),
        *((name, _text(value)) for name, value in model.items() if name != KEY),
    ]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={part}" for name, part in value.items() if name != KEY)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def describe_published(path: Path) -> list[tuple[str, str]] | None:
    """Lines of a label and a value of a published file or its folder; None for something else.

    Raises:
        ValueError: it is one, and damaged.
        FileNotFoundError: it is one, and lacks a part.
    """
    files = [path] if path.is_file() else [file for found in candidates(path) for file in found]
    if not any(file.suffix in ENDINGS and _holds_one(file) for file in files):
        return None
    try:
        found = read_published(path, shapes=True)
    except GridMismatch as error:
        return _in_part(find_file(path), "of another grid", "grid", error, "rows=… columns=…")
    except SeveralSizes as error:
        return _in_part(find_file(path), "of one of several sizes", "sizes", error, "config=FILE.yaml")
    counts, kinds = _counts(found.weights, found.tokenizer_weights), _kinds(found.weights)
    return [
        ("kind", "MineWorld, as published"),
        ("file", str(found.path)),
        *_sizes(found.config, found.tokenizer, counts, kinds),
        ("to play", f"playloop convert {shlex.quote(str(found.path))} out=DIR"),
    ]


def _holds_one(file: Path) -> bool:
    return any(name.startswith(PREFIX) for name in read_pickle(file, shapes=True))


def _in_part(path: Path, which: str, label: str, error: ValueError, missing: str) -> list[tuple[str, str]]:
    """What the tensors tell of a file that cannot be understood without a word about `missing`."""
    weights, tokenizer, _ = read_halves(path, shapes=True)
    counts = _counts(weights, tokenizer)
    widths = [value.shape[-1] for name, value in weights.items() if name.endswith("embed_tokens.weight")]
    return [
        ("kind", f"MineWorld, as published, {which}"),
        ("file", str(path)),
        ("model", f"{_count(counts[0])} in {', '.join(_kinds(weights))}"),
        *(("transformer", f"width {width}") for width in widths),
        ("tokenizer", f"VQ, {_count(counts[1])}"),
        (label, f"{error}: playloop convert {shlex.quote(str(path))} {missing} out=DIR"),
    ]


def _counts(*parts: dict[str, Tensor]) -> list[int]:
    return [sum(value.numel() for value in part.values()) for part in parts]


def _kinds(weights: dict[str, Tensor]) -> list[str]:
    return sorted({str(value.dtype).removeprefix("torch.") for value in weights.values()})


def _describe_mineworld(path: Path, record: dict[str, Any]) -> list[tuple[str, str]]:
    inner = path / "tokenizer"
    config = read_sizes(record, path, MineWorldConfig)
    vq = read_sizes(read_record(inner / "config.json"), inner, VQConfig)
    headers = [read_header(folder / WEIGHTS) for folder in (path, path / "tokenizer")]
    counts = [sum(entry.elements for entry in header.values()) for header in headers]
    kinds = sorted({entry.dtype for entry in headers[0].values()})
    _, starts, _ = read_surroundings(path, config, vq, MineWorldPlay.form)
    clips, frames = starts.shape[:2]
    training, order = read_record(path / "training.json"), read_order(record, path)
    return [
        ("kind", "MineWorld, ready to play"),
        ("made of", str(training.get("source", "unknown"))),
        *_sizes(config, vq, counts, kinds),
        *([("start queries", "trained")] if config.start_queries else []),
        *([("trained for", ", ".join(f"{k}={v}" for k, v in vars(order).items()))] if order else []),
        ("beginnings", f"{clips} of {frames} frames"),
        ("to play", f"playloop play env=mineworld checkpoint={shlex.quote(str(path))}"),
    ]


def _sizes(
    config: MineWorldConfig, vq: VQConfig, counts: list[int], kinds: list[str]
) -> list[tuple[str, str]]:
    published = replace(config, start_queries=False, truncate=False)
    names = [name for name, sizes in PRESETS.items() if sizes == published]
    stack = f"{config.layers} layers, width {config.width}, {config.heads} heads on {config.groups} of keys"
    truncated = "lose their fractions of a degree, as in the release"
    turns = f"turns {truncated if config.truncate else 'keep their fractions of a degree'}"
    actions = config.actions.ids
    return [
        ("model", f"{', '.join(names) or 'sizes of its own'}: {_count(counts[0])} in {', '.join(kinds)}"),
        ("transformer", f"{stack}, MLP {config.hidden}"),
        ("context", f"{config.context} frames, {config.positions} positions"),
        ("frame", f"{vq.height} x {vq.width} pixels, {config.rows} x {config.columns} tokens"),
        ("tokenizer", f"VQ, {_count(counts[1])}, {vq.codes} codes of {vq.latent} numbers"),
        ("action", f"{config.actions.length} tokens, ids {actions.start} to {actions.stop - 1}, {turns}"),
        ("vocabulary", str(config.vocabulary)),
    ]


def _count(numbers: int) -> str:
    return f"{numbers / 1e6:.1f} M" if numbers >= 1e6 else f"{numbers:,}"


DESCRIBED = {
    WORLD: _describe_world,
    MINEWORLD: _describe_mineworld,
    **dict.fromkeys(PARTS, _describe_part),
}
"""Kind of a folder → what describes it, from the folder and its `config.json`."""
