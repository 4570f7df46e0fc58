"""The version of the files that Playloop writes: checkpoints, data sets and results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 2
"""1 named classes by their place in the code and conventions by sentences; 2 names kinds and ids."""


def format_of(record: Mapping[str, Any], where: Path | str) -> int:
    """The format of a record, 1 where it names none; a ValueError for one that this version does not know."""
    found = record.get("format", 1)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"{where}: format={found!r} is no format of Playloop; copy the file again")
    if found > FORMAT:
        raise ValueError(
            f"{where} has the format {found}, and this version of Playloop knows those up to {FORMAT}; "
            "install the version that wrote it, or a newer one"
        )
    return found


def check_format(record: Mapping[str, Any], where: Path | str, fix: str = "make it again") -> None:
    """Refuse what another version wrote in another format; `fix` says what to do about an older one."""
    if (found := format_of(record, where)) < FORMAT:
        raise ValueError(
            f"{where} has the format {found} of an older Playloop, and this one reads {FORMAT}; "
            f"{fix}, or use the version that wrote it"
        )
