"""Files that are either whole or not there, and JSON that is read with an answer to every damage."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

LFS_HEADER = b"version https://git-lfs.github.com/spec/"
"""How a pointer begins that Git LFS leaves where a file was not fetched."""
TYPES: dict[type, str] = {dict: "an object {…}", list: "a list […]", str: "text"}


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a kill at any moment leaves the old file or the new one."""
    data = encoded(content) if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # a full disk, for instance
        temporary.unlink(missing_ok=True)
        raise


def remove_empty(*folders: Path) -> None:
    """Remove folders in which nothing is."""
    for folder in folders:
        with contextlib.suppress(OSError):  # something is in it, or it is not there
            folder.rmdir()


def encoded(text: str) -> bytes:
    """UTF-8; bytes of a path that are none, which Python keeps as half letters, as JSON escapes them."""
    return text.encode(errors="backslashreplace")


def write_json(path: Path, record: Any) -> None:
    """Write a record as indented JSON, atomically."""
    write_atomic(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path | str, fix: str = "copy it again", kind: type = dict) -> Any:
    """The value of a JSON file.

    Args:
        path: of the file.
        fix: what to do about a damaged one, the end of the error's sentence.
        kind: of the value at the top: dict or list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, torn, no text, a Git LFS pointer or another kind of value; names the file.
    """
    path = Path(path)
    content = path.read_bytes()
    check_pointer(path, content[: len(LFS_HEADER)])
    if not content.strip():
        raise ValueError(f"{path} is empty; {fix}")
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # torn, no UTF-8, nested without end
        raise ValueError(f"{path} is damaged ({error}); {fix}") from error
    if not isinstance(value, kind):
        raise ValueError(f"{path} holds {type(value).__name__}, not {TYPES.get(kind, kind.__name__)}; {fix}")
    return value


def check_pointer(path: Path, beginning: bytes | None = None) -> None:
    """Refuse a file that Git LFS has not fetched; `beginning`: its first bytes, if they are read already."""
    if beginning is None:
        with path.open("rb") as file:
            beginning = file.read(len(LFS_HEADER))
    if beginning.startswith(LFS_HEADER):
        raise ValueError(
            f"{path} is a Git LFS pointer and not the file itself; fetch it: git lfs pull, in its repository"
        )
