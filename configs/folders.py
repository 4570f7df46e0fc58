"""Where results go."""

from __future__ import annotations

import os
from datetime import datetime
from itertools import chain, count
from pathlib import Path


def results_folder(verb: str, out: str | Path | None) -> Path:
    """A run's folder: as given, or a new one under runs/. It is not made here.

    Raises:
        OSError: it can be no folder there.
    """
    folder = Path(out) if out else new_folder(verb)
    check_folder(folder, str(folder))
    return folder


def new_folder(verb: str) -> Path:
    """One under runs/ with the time in its name, and a number where runs begin in the same second."""
    name = f"{verb}-{datetime.now():%Y%m%d-%H%M%S}"
    if "LOCAL_WORLD_SIZE" in os.environ:  # the processes of torchrun share one
        return Path("runs", name)
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(folder for name in names if not (folder := Path("runs", name)).exists())


def check_folder(folder: Path, out: str, key: str = "out") -> None:
    """Refuse a folder that cannot be made or written, before anything is worked out that would go there.

    Args:
        folder: it and its parents need not be there yet.
        out: the setting's value, for the message.
        key: the setting.

    Raises:
        NotADirectoryError: a file is in its place, or a link that leads nowhere.
        PermissionError: it cannot be written.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    links = [place for place in (folder, *folder.parents) if place.is_symlink() and not place.exists()]
    if links:
        raise NotADirectoryError(
            f"{key}={out}: {links[0]} is a link to {os.readlink(links[0])}, which is not there; make that "
            "folder, or name another"
        )
    if not there.is_dir():
        raise NotADirectoryError(f"{key}={out}: {there} is a file; name a new folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{key}={out}: {there} cannot be written; name a new folder")
