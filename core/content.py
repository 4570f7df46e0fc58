"""What acts, by its content: so that results of one agent are never continued with another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from playloop.core.files import file_hash


def provenance_of(acting: Any, settings: Any = None) -> dict[str, Any]:
    """What decides an agent's actions, or an environment's states, besides settings and this package's code.

    Args:
        acting: its own `provenance()` tells, where it has one.
        settings: where that tells of no hash, the files and folders that its settings name are hashed.
    """
    told: dict[str, Any] = getattr(acting, "provenance", dict)()
    return told if _tells_hash(told) else {**told, **named_files(settings)}


def named_files(settings: Any) -> dict[str, str]:
    """Name of a setting → hash of the file or folder that it names by a path with a slash, at any depth."""
    return {name: content_hash([Path(text)]) for name, text in _texts(settings) if _is_path(text)}


def content_hash(paths: Iterable[Path]) -> str:
    """A hash of files' names and contents, wherever they lie; of a folder, those of all files in it."""
    total = hashlib.sha256()
    for path in paths:
        root, files = (path, sorted(path.rglob("*"))) if path.is_dir() else (path.parent, [path])
        for file in files:
            if file.is_file():
                total.update(os.fsencode(file.relative_to(root)) + b"\0" + bytes.fromhex(file_hash(file)))
    return total.hexdigest()


def _tells_hash(told: Mapping[str, Any]) -> bool:
    return any(
        _tells_hash(value) if isinstance(value, Mapping) else name.endswith("sha256")
        for name, value in told.items()
    )


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in settings, with the dotted name of its setting."""
    if isinstance(value, str | os.PathLike):
        yield name, os.fspath(value)
    elif is_dataclass(value):
        yield from _texts(vars(value), name)
    elif isinstance(value, Mapping | list | tuple):
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(part, f"{name}.{key}" if name else str(key))


def _is_path(text: str) -> bool:
    return os.sep in text and len(text) < 4096 and "\0" not in text and os.path.exists(text)
