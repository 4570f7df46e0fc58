"""Know the files of a data set by their content, and name the ones that have changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from playloop.core.checked import read_typed
from playloop.core.files import check_pointer, file_hash, read_json, write_json
from playloop.demos.lerobot.info import FIX, PRIVATE

VERIFIED = "cache/verified.json"
HASHED = 4_000_000_000
"""Bytes of tables up to which all of them are hashed."""
END = 1 << 16
"""Bytes at either end of a file by which it differs from others of its size."""
WITHOUT = "-without-"
"""In an identity, in front of the numbers of skipped episodes."""


class _Listed(TypedDict):
    bytes: int
    sha256: str


def fingerprint(path: Path) -> dict[str, Any]:
    """A file's size and SHA-256."""
    return {"bytes": path.stat().st_size, "sha256": file_hash(path)}


def fingerprints(root: Path) -> dict[str, dict[str, Any]]:
    """`fingerprint` of every parquet and mp4 file of a data set, by its path under `root`."""
    folders = [root / name for name in ("data", "videos", PRIVATE, "meta")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.*"))]
    chosen = [path for path in paths if path.suffix in (".parquet", ".mp4")]
    return {str(path.relative_to(root)): fingerprint(path) for path in chosen}


def identify(root: Path) -> str:
    """Twelve hexadecimal digits that change when any file of the data set does."""
    listed = root / "meta" / "files.json"
    if listed.exists():
        content = listed.read_bytes()
    else:  # written by others
        paths = sorted((root / "meta").rglob("*.*"))
        tables = [path.read_bytes() for path in paths if path.suffix in (".json", ".parquet")]
        content = b"".join(tables) + json.dumps(_marks(root)).encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _marks(root: Path) -> dict[str, list[Any]]:
    """What tells files of rows and pictures apart where nobody listed their hashes, by their paths.

    Tables are hashed, unless they are large with pictures in them; of other files the size and both ends,
    where containers describe what they hold: a video that is swapped for one of the same size is another.
    """
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    kept = [folder for folder in folders if folder.name not in ("meta", "cache")]
    sizes = {path: path.stat().st_size for at in kept for path in at.rglob("*.*") if path.is_file()}
    tables = {path for path in sizes if path.suffix == ".parquet"}
    few = sum(sizes[path] for path in tables) <= HASHED
    read = {path: file_hash if few and path in tables else _ends for path in sorted(sizes)}
    return {str(path.relative_to(root)): [sizes[path], mark(path)] for path, mark in read.items()}


def _ends(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(END))
        file.seek(max(0, path.stat().st_size - END))
        digest.update(file.read(END))
    return digest.hexdigest()


def whole_identity(identity: str) -> str:
    """The identity of a data set as it would be without skipped episodes, see `Demonstrations.identity`."""
    return identity.partition(WITHOUT)[0]


def damaged_files(root: Path, again: bool = False) -> dict[str, str]:
    """Path → what is wrong, for every file that differs from what the writer listed.

    A file is hashed once and then known by size, inode and times of change, so that opening a
    data set again is free and a copy is hashed anew. What rots on the disk later is found by hashing `again`.
    Nothing is found where the writer listed nothing.

    Args:
        root: the data set's folder.
        again: hash every file, known or not.

    Raises:
        ValueError: the list of files is damaged.
    """
    path = root / "meta" / "files.json"
    listed: dict[str, _Listed] = {}
    if path.is_file():
        listed = read_typed(dict[str, _Listed], read_json(path, FIX), str(path))
    known = {} if again else _known(root / VERIFIED)
    found, stamps = {}, {}
    for name, expected in listed.items():
        path = root / name
        if not path.is_file():
            found[name] = "missing"
        elif path.stat().st_size != expected["bytes"]:
            found[name] = _other_size(path, expected["bytes"])
        else:
            state = path.stat()
            times = [state.st_mtime_ns, state.st_ctime_ns]
            stamps[name] = [state.st_size, *times, state.st_ino, expected["sha256"]]
            if known.get(name) != stamps[name] and fingerprint(path) != expected:
                found[name] = "changed since it was written"
    _remember(root, {name: stamp for name, stamp in stamps.items() if name not in found}, known)
    return found


def _other_size(path: Path, wanted: int) -> str:
    try:
        check_pointer(path)
    except ValueError:
        return "a Git LFS pointer and not the file itself; fetch it: git lfs pull, in its repository"
    return f"{path.stat().st_size} bytes instead of {wanted}"


def _known(path: Path) -> dict[str, Any]:
    """What was found whole before; a damaged note of it is as good as none."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


def _remember(root: Path, stamps: dict[str, list], known: dict[str, Any]) -> None:
    if stamps == known or not stamps:
        return
    try:
        (root / VERIFIED).parent.mkdir(exist_ok=True)
        write_json(root / VERIFIED, stamps)
    except OSError:
        return  # a read-only data set is hashed every time
