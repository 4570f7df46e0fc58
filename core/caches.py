"""Where compiled code is kept: numba's cache, also where neither the installation nor HOME can be written."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

VARIABLE = "NUMBA_CACHE_DIR"


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """A function of a module's top level compiled by `numba.njit`, kept on disk for the next process."""
    settle_numba_cache(Path(function.__code__.co_filename).parent)
    import numba

    return numba.njit(cache=True, **options)(function)


@cache
def settle_numba_cache(package: Path) -> None:
    """See to it that numba can keep what it compiles of a package; call before its functions are declared.

    Numba itself takes the package's own folder or one in HOME. On clusters and in containers neither may be
    writable: then a folder of this user beneath TMPDIR serves. An OSError if none is.
    """
    if asked := os.environ.get(VARIABLE):
        if not _writable(Path(asked)):
            raise OSError(f"{VARIABLE}={asked} cannot be written; set it to a folder that can")
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "numba")
    if _writable(package / "__pycache__") or _writable(home):
        return
    try:
        folder = str(private_folder("numba"))
    except OSError as error:
        raise OSError(
            f"neither {package}, nor {home}, nor the temporary folder can be written, so that compiled code "
            f"has no place ({error}); set {VARIABLE} to a folder that can be written"
        ) from error
    os.environ[VARIABLE] = folder
    if "numba" in sys.modules:  # it has read the variable already
        import numba

        numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]


def private_folder(purpose: str) -> Path:
    """A folder of this user alone beneath TMPDIR, the same for all processes: code is executed from it."""
    folder = Path(tempfile.gettempdir()) / f"playloop-{purpose}-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
        if not mine or not _writable(folder):  # somebody else made it, perhaps to have us run his code
            return Path(tempfile.mkdtemp(prefix=f"playloop-{purpose}-"))
    return folder


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is not there: as numba finds out."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
