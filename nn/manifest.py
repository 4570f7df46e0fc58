"""The files of a model's folder, bound together: one altered, missing or added is noticed before it acts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playloop.core.files import check_pointer, file_hash, read_json, write_json

MANIFEST = "manifest.json"
RECORDS = ("training.json", "merge.json")
"""How a model came about. It decides nothing, and is free where it may be edited."""
BOUND = "manifest"
"""Key of a `config.json` that says that the folder has a manifest, so that a missing one is noticed."""


def file_hashes(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of several files by their names in a folder, as many at once as there are cores."""
    listed = sorted(names)
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run; the weights of a 7B are 15 GB
        return dict(zip(listed, pool.map(lambda name: file_hash(Path(folder) / name), listed), strict=True))


def write_manifest(folder: str | Path, free: Iterable[str] = ()) -> None:
    """Write down every file of a folder, and of folders in it, with its hash. Comes last.

    Args:
        folder: of the model.
        free: names of files that are left out and may be edited later.
    """
    names = [name for name in files_of(folder, ("**/*",)) if name not in (MANIFEST, *free)]
    write_json(Path(folder) / MANIFEST, {"sha256": file_hashes(folder, names)})


def check_manifest(
    folder: str | Path,
    matters: Iterable[str] = (),
    required: bool = False,
    hashes: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Refuse a folder whose files are not those that were written together.

    Nothing happens where a folder has no manifest: published and older ones do not.

    Args:
        folder: of the model.
        matters: patterns of files that are read if they are there: such a file that was added is refused,
            any other one, a README for instance, is not.
        required: whether there must be a manifest.
        hashes: of files by name, where they are known already.

    Returns:
        The hashes of all that it lists, by name; nothing where there is no manifest.

    Raises:
        FileNotFoundError: the manifest or one of its files is missing.
        ValueError: a file was altered or added, or the manifest is damaged.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        if required:
            raise FileNotFoundError(f"{folder} is not complete: {MANIFEST} missing; copy it again")
        return {}
    listed = _listed(folder)
    missing = sorted(name for name in listed if not (folder / name).is_file())
    if missing:
        raise FileNotFoundError(f"{folder} is not complete: {', '.join(missing[:5])} missing; copy it again")
    if added := sorted(set(files_of(folder, matters)) - {*listed, *RECORDS, MANIFEST}):
        raise ValueError(
            f"{folder / added[0]} was added after the checkpoint was written, and would change it; remove it"
        )
    known = hashes or {}
    found = file_hashes(folder, listed.keys() - known.keys()) | {n: known[n] for n in listed if n in known}
    if altered := sorted(name for name in listed if found[name] != listed[name]):
        check_pointer(folder / altered[0])
        raise ValueError(
            f"{folder / altered[0]} is not the file that was written with the others ({MANIFEST} has another "
            "hash); copy the folder again"
        )
    return found


def files_of(folder: str | Path, patterns: Iterable[str]) -> list[str]:
    """Files in a folder that patterns find, by their names there, sorted."""
    folder = Path(folder)
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _listed(folder: Path) -> dict[str, str]:
    """The manifest's hashes by name; a name never leads out of the folder."""
    path = folder / MANIFEST
    listed: Any = read_json(path).get("sha256")
    if not isinstance(listed, dict) or not listed:
        raise ValueError(f"{path} lists no files; copy the folder again")
    for name, value in listed.items():
        if not isinstance(value, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{path} lists {name!r}, which is no file of its folder; copy the folder again")
    return listed
