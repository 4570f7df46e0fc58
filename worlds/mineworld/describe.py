"""What a MineWorld's file or folder is, told from its headers: no weights are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from playloop.nn.folder import WEIGHTS, read_record
from playloop.nn.pickles import read_pickle
from playloop.nn.record import from_record
from playloop.nn.shards import read_header
from playloop.tokenizers.vq import VQConfig
from playloop.worlds.mineworld.files import GridMismatch, read_published
from playloop.worlds.mineworld.folder import MINEWORLD
from playloop.worlds.mineworld.model import PREFIX, PRESETS, MineWorldConfig


def describe(path: Path) -> list[tuple[str, str]] | None:
    """Lines of a label and a value; None for something else than a MineWorld.

    Args:
        path: a published .ckpt file, its folder, or a folder that `playloop convert` made.

    Raises:
        ValueError: it is one, and damaged.
        FileNotFoundError: it is one, and lacks a part.
    """
    record = path / "config.json"
    if record.is_file():
        return _converted(path) if _kind(record) == MINEWORLD else None
    folders = (path, path / "checkpoints")
    files = [path] if path.is_file() else [file for folder in folders for file in folder.glob("*.ckpt")]
    if not any(file.suffix == ".ckpt" and _holds_one(file) for file in files):
        return None
    return _published(path)


def _kind(record: Path) -> object:
    found = read_record(record)
    return found.get("kind") if isinstance(found, dict) else None


def _holds_one(file: Path) -> bool:
    return any(name.startswith(PREFIX) for name in read_pickle(file, shapes=True))


def _published(path: Path) -> list[tuple[str, str]]:
    try:
        found = read_published(path, shapes=True)
    except GridMismatch as error:
        return [("kind", "MineWorld, as published, of another grid"), ("grid", str(error))]
    counts = [
        sum(value.numel() for value in part.values()) for part in (found.weights, found.tokenizer_weights)
    ]
    kinds = sorted({str(value.dtype).removeprefix("torch.") for value in found.weights.values()})
    return [
        ("kind", "MineWorld, as published"),
        ("file", str(found.path)),
        *_sizes(found.config, found.tokenizer, counts, kinds),
        ("to play", f"playloop convert {found.path} out=DIR"),
    ]


def _converted(path: Path) -> list[tuple[str, str]]:
    config = from_record(read_record(path / "config.json")["model"], (MineWorldConfig,))
    vq = from_record(read_record(path / "tokenizer" / "config.json")["model"], (VQConfig,))
    headers = [read_header(folder / WEIGHTS) for folder in (path, path / "tokenizer")]
    counts = [sum(entry.elements for entry in header.values()) for header in headers]
    kinds = sorted({entry.dtype for entry in headers[0].values()})
    with np.load(path / "starts.npz", allow_pickle=False) as stored:
        clips, frames = stored["tokens"].shape[:2]
    training = read_record(path / "training.json")
    return [
        ("kind", "MineWorld, ready to play"),
        ("made of", str(training.get("source", "unknown"))),
        *_sizes(config, vq, counts, kinds),
        *([("start queries", "trained")] if config.start_queries else []),
        ("beginnings", f"{clips} of {frames} frames"),
        ("to play", f"playloop play env=mineworld checkpoint={path}"),
    ]


def _sizes(
    config: MineWorldConfig, vq: VQConfig, counts: list[int], kinds: list[str]
) -> list[tuple[str, str]]:
    names = [name for name, sizes in PRESETS.items() if replace(config, start_queries=False) == sizes]
    stack = f"{config.layers} layers, width {config.width}, {config.heads} heads on {config.groups} of keys"
    actions = config.actions.ids
    return [
        ("model", f"{', '.join(names) or 'sizes of its own'}: {_count(counts[0])} in {', '.join(kinds)}"),
        ("transformer", f"{stack}, MLP {config.hidden}"),
        ("context", f"{config.context} frames, {config.positions} positions"),
        ("frame", f"{vq.height} x {vq.width} pixels, {config.rows} x {config.columns} tokens"),
        ("tokenizer", f"VQ, {_count(counts[1])}, {vq.codes} codes of {vq.latent} numbers"),
        ("action", f"{config.actions.length} tokens, ids {actions.start} to {actions.stop - 1}"),
        ("vocabulary", str(config.vocabulary)),
    ]


def _count(numbers: int) -> str:
    return f"{numbers / 1e6:.1f} M" if numbers >= 1e6 else f"{numbers:,}"
