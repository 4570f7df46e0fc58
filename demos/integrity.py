"""Know the files of a data set by their content, and name the ones that have changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from playloop.core.files import write_json

VERIFIED = "cache/verified.json"


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def fingerprints(root: Path) -> dict[str, dict[str, Any]]:
    """`fingerprint` of every parquet and mp4 file of a data set, by its path under `root`."""
    paths = [path for folder in ("data", "videos", "meta") for path in sorted((root / folder).rglob("*.*"))]
    chosen = [path for path in paths if path.suffix in (".parquet", ".mp4")]
    return {str(path.relative_to(root)): fingerprint(path) for path in chosen}


def identify(root: Path) -> str:
    """Twelve hexadecimal digits that change when any file of the data set does."""
    listed = root / "meta" / "files.json"
    if listed.exists():
        content = listed.read_bytes()
    else:  # written by others: names and sizes are the best that is cheap
        sizes = {str(path): path.stat().st_size for path in sorted(root.glob("[dv]*/**/*.*"))}
        content = (root / "meta" / "info.json").read_bytes() + json.dumps(sizes).encode()
    return hashlib.sha256(content).hexdigest()[:12]


def damaged_files(root: Path) -> dict[str, str]:
    """Path → what is wrong, for every file that differs from what the writer listed.

    A file is hashed once and then known by size and time of change, so that opening a data set again is
    free. Nothing is found where the writer listed nothing.
    """
    listed = _read(root / "meta" / "files.json")
    known = _read(root / VERIFIED)
    found, stamps = {}, {}
    for name, expected in listed.items():
        path = root / name
        if not path.is_file():
            found[name] = "missing"
        elif path.stat().st_size != expected["bytes"]:
            found[name] = f"{path.stat().st_size} bytes instead of {expected['bytes']}"
        else:
            stamps[name] = [path.stat().st_size, path.stat().st_mtime_ns, expected["sha256"]]
            if known.get(name) != stamps[name] and fingerprint(path) != expected:
                found[name] = "changed since it was written"
    _remember(root, {name: stamp for name, stamp in stamps.items() if name not in found}, known)
    return found


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _remember(root: Path, stamps: dict[str, list], known: dict[str, Any]) -> None:
    if stamps == known:
        return
    try:
        (root / VERIFIED).parent.mkdir(exist_ok=True)
        write_json(root / VERIFIED, stamps)
    except OSError:
        return  # a read-only data set is hashed every time
