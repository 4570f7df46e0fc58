"""What a world model, a frame tokenizer or an inverse-dynamics model is: headers are read, no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playloop.core.formats import check_format
from playloop.core.kinds import KEY
from playloop.nn.contents import NOUNS
from playloop.nn.folder import WEIGHTS, read_record
from playloop.nn.record import model_kind, to_record
from playloop.nn.shards import read_header
from playloop.tokenizers.camera import CameraBins
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.worlds.checkpoint import INVERSE, TOKENIZER, WORLD
from playloop.worlds.inverse import InverseConfig
from playloop.worlds.mineworld.describe import describe_converted, describe_published
from playloop.worlds.mineworld.folder import MINEWORLD
from playloop.worlds.model import WorldConfig
from playloop.worlds.reading import read_conventions, read_sizes

CONFIGS: dict[Any, tuple[Any, ...]] = {
    WORLD: (WorldConfig,),
    TOKENIZER: (FrameTokenizerConfig,),
    INVERSE: (InverseConfig, CameraBins),
}
"""Kind of a folder → its model's configuration, and classes that it may hold."""


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
    kind = model_kind(record)
    if kind == MINEWORLD:
        return describe_converted(path)
    if kind is None or kind not in CONFIGS:
        return None
    check_format(record, path / "config.json")
    model = to_record(read_sizes(record, path, *CONFIGS[kind]))
    entries = read_header(path / WEIGHTS).values()
    lines = [
        ("kind", f"{NOUNS[kind]} of playloop"),
        ("parameters", f"{sum(entry.elements for entry in entries):,}"),
        ("type", ", ".join(sorted({entry.dtype for entry in entries}))),
        *((name, _text(value)) for name, value in model.items() if name != KEY),
    ]
    if kind == WORLD:
        contract = read_conventions(path)
        lines += [("environment", contract.family), *contract.described()]
        found = describe(path / "tokenizer") or []
        lines += [(f"tokenizer {label}", value) for label, value in found]
    return lines


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={part}" for name, part in value.items() if name != KEY)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
