"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import sys
import weakref
from datetime import datetime
from pathlib import Path
from types import TracebackType

from playloop.core.files import encoded

NAME = ".lock"
_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


class FolderLock:
    """A lock on a folder, from before the first write to after the last.

    The system's own (flock): whoever is killed gives it back at once, and no forked process keeps it.
    The file says who holds the lock; it is removed when the lock is given back, and so is a folder that was
    made for it and stayed empty: a command that failed leaves none.

    Args:
        folder: created if it does not exist, unless `beside`.
        what: the holder's purpose, "playloop train" for instance.
        beside: lock a file next to the folder: for folders that are replaced as a whole.

    Raises, when it is taken:
        BlockingIOError: another process holds it; says which.
        OSError: the file system has no locks.
    """

    def __init__(self, folder: Path | str, what: str, beside: bool = False):
        self.folder = Path(os.path.abspath(folder))
        self.what = what
        self.path = self.folder.with_name(f".{self.folder.name}{NAME}") if beside else self.folder / NAME
        self._file: int | None = None
        self._made: list[Path] = []

    def acquire(self) -> FolderLock:
        """Take the lock, without waiting."""
        if self._file is not None:
            raise RuntimeError(f"{self.path} is held already, by this very lock")
        home = self.path.parent
        self._made = [place for place in (home, *home.parents) if not place.exists()]
        while self._file is None:
            home.mkdir(parents=True, exist_ok=True)
            self._file = self._try()
        _held.add(self)
        holder = {"pid": os.getpid(), "host": platform.node(), "what": self.what}
        holder |= {"command": " ".join(sys.argv)[:500], "since": datetime.now().isoformat(" ", "seconds")}
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its holder's name
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, encoded(json.dumps(holder, ensure_ascii=False)) + b"\n", 0)
        return self

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        if self._file is None:
            return
        self.path.unlink(missing_ok=True)  # while it is held: who opened it meanwhile looks again
        with contextlib.suppress(OSError):  # something is in it, or somebody has removed it
            for place in self._made:
                place.rmdir()
        self._forget()

    def __enter__(self) -> FolderLock:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _try(self) -> int | None:
        """The locked file; None if its last holder removes it, or its folder, in this moment."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # its last holder removed the folder, too
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(file, self.path):
                return file
        except BlockingIOError:
            said = os.pread(file, 4096, 0)
            os.close(file)
            raise BlockingIOError(
                f"{self.folder} is being written by {_holder(said)}; wait for it, or give another "
                "folder (out=…)"
            ) from None
        except OSError as error:
            os.close(file)
            raise OSError(
                f"{self.path.parent}: its file system has no locks ({error.strerror}); choose a folder on "
                "another disk, or have it mounted with flock"
            ) from error
        os.close(file)
        return None

    def _forget(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_locked(path: Path) -> bool:
    """Whether a process that lives holds the lock whose file this is."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(said: bytes) -> str:
    """The holder in words, of what stands in the lock's file."""
    try:
        record = json.loads(said)
        return (
            f"{record['what']} (process {record['pid']} on {record['host']} since {record['since']}: "
            f"{record['command']})"
        )
    except (ValueError, KeyError, TypeError):  # it has only just taken it
        return "another process"


def _let_go_in_child() -> None:
    for lock in list(_held):
        lock._forget()


os.register_at_fork(after_in_child=_let_go_in_child)
