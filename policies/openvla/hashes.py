"""The files of a checkpoint of OpenVLA's family that decide what its policy does, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from playloop.nn.adapter import CONFIG as ADAPTER_CONFIG
from playloop.nn.manifest import MANIFEST, RECORDS, check_manifest, file_hashes, files_of
from playloop.policies.golden import is_bound
from playloop.policies.openvla.pickles import ADAPTER

READ = ("*.json", "*.safetensors", "*_checkpoint.pt", f"{ADAPTER}/{ADAPTER_CONFIG}")
"""Files of a folder that decide what its policy does, but for `UNREAD`; the last scales FiLM's factors."""

UNREAD = (*RECORDS, MANIFEST)
"""How a checkpoint came about, and what it consists of."""


def read_hashes(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file that decides what a policy does, by its name in the folder."""
    return file_hashes(folder, [name for name in files_of(folder, READ) if name not in UNREAD])


def hash_of(hashes: Mapping[str, str]) -> str:
    """One name for a checkpoint: SHA-256 over the files that decide what its policy does."""
    lines = [f"{name} {hashes[name]}" for name in sorted(hashes, key=Path)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def folder_hash(folder: str | Path) -> str:
    """`hash_of` a folder's files."""
    return hash_of(read_hashes(folder))


def check_bound(folder: str | Path) -> dict[str, str]:
    """Refuse a folder that Playloop wrote and somebody altered; published ones have no manifest.

    Args:
        folder: of the checkpoint.

    Returns:
        As `read_hashes`; nothing where there is no manifest.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file was altered or added.
    """
    found = check_manifest(folder, READ, required=is_bound(Path(folder)))
    wanted = {name for name in files_of(folder, READ) if name not in UNREAD}
    return {name: value for name, value in found.items() if name in wanted}
