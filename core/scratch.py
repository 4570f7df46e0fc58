"""Folders that are there whole or not at all, and temporary ones that do not outlive their process."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playloop.core.locks import NAME, FolderLock, is_locked


@contextmanager
def staged(folder: Path | str) -> Iterator[Path]:
    """A scratch folder that becomes `folder` when the block ends well; an older one is replaced.

    What killed processes have left of the same folder is removed first.

    Raises:
        BlockingIOError: another process is writing the same folder.
    """
    folder = Path(os.path.abspath(folder))  # "." has no name of its own
    with FolderLock(folder, "the writer of this folder", beside=True):
        clean_partials(folder)
        partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
        partial.mkdir(parents=True)
        try:
            yield partial
            # A full folder cannot be replaced in one step: the old one moves aside for an instant.
            aside = partial.with_suffix(".old")
            if folder.exists():
                os.replace(folder, aside)
            os.replace(partial, folder)
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def clean_partials(folder: Path) -> None:
    """Remove what killed writers of a folder have left beside it; the caller holds the lock on it.

    A folder that was moved aside and not replaced in the instant of the kill comes back.
    """
    for aside in folder.parent.glob(f".{glob_safe(folder.name)}.????????.old"):
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(aside, folder)
    for partial in folder.parent.glob(f".{glob_safe(folder.name)}.????????.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def glob_safe(name: str) -> str:
    """A name in which nothing is a wildcard."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A temporary folder that is removed at the end; those that killed processes left are removed first."""
    sweep(purpose)
    folder = Path(tempfile.mkdtemp(prefix=f"playloop-{purpose}-"))
    try:
        with FolderLock(folder, purpose):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(purpose: str) -> None:
    """Remove temporary folders of one purpose whose process is gone.

    The moment between making a folder and locking it is passed over: a folder without a lock's file stays.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"playloop-{purpose}-*"):
        with contextlib.suppress(OSError):  # another user's
            if (folder / NAME).exists() and not is_locked(folder / NAME):
                shutil.rmtree(folder, ignore_errors=True)
