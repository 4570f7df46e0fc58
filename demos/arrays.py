"""Arrays on disk that are made once for all runs that read them: whole or not there at all."""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from playloop.core.children import CONTEXT
from playloop.core.locks import NAME, FolderLock

Job = TypeVar("Job")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room for a file."""
LOOK_EVERY = 0.2
"""Seconds between two looks whether another process has made an array."""


def made_once(path: Path, shape: tuple[int, ...], dtype: Any, fill: Callable[[Path], None]) -> np.ndarray:
    """The array in a file, memory-mapped; it is made if the file is not there.

    One process at a time makes it: others wait and find it. What killed ones left in the folder is removed.

    Args:
        path: of the `.npy` file; its name changes with the content.
        shape: of the array.
        dtype: of its numbers.
        fill: writes them into the file that it is given, which has its size already. Several processes may.

    Raises:
        OSError: there is no room for it, or the folder cannot be written; says what to do.
        ValueError: the file is not such an array.
    """
    if not path.exists():
        _check_folder(path.parent)
        with _alone(path):
            if not path.exists():  # nobody has made it meanwhile
                _make(path, shape, dtype, fill)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it, and it is made again") from error
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{path} holds {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}; remove it, and it is "
            "made again"
        )
    return array


def open_filled(path: Path) -> np.memmap:
    """The array that `made_once` gives out to be filled."""
    return np.lib.format.open_memmap(path, mode="r+")


def in_processes(function: Callable[[Job], object], jobs: Iterable[Job], processes: int) -> None:
    """Call a function with every job, in so many processes, which end with this one."""
    if processes <= 1:
        for job in jobs:
            function(job)
        return
    pool = ProcessPoolExecutor(processes, CONTEXT)
    try:
        for _ in pool.map(function, jobs):
            pass
    finally:  # after an error or Ctrl-C nothing further is begun
        pool.shutdown(cancel_futures=True)


def _make(path: Path, shape: tuple[int, ...], dtype: Any, fill: Callable[[Path], None]) -> None:
    _sweep(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        _reserve(partial, shape, dtype)
        fill(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # a file that has its name is whole, also after a power cut
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _reserve(path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    """A file of the array's size, whose room is taken: writes into mapped memory notice no full disk."""
    try:
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    except OSError as error:
        if error.errno not in FULL:
            raise
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raise OSError(
            f"{path.parent} has no room for {size / 1e6:,.0f} MB of prepared pictures or tokens; free some, "
            "or set cache=DIR to a folder on another disk"
        ) from error


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise PermissionError(
            f"{folder} cannot be written, and prepared pictures or tokens are kept there; set cache=DIR to a "
            "folder that can"
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """The lock of one array, when it is free."""
    lock = FolderLock(path, "the maker of this array", beside=True)
    waits = False
    while True:
        try:
            lock.acquire()
            break
        except BlockingIOError as error:
            if not waits:
                print(f"Waiting: {error}", file=sys.stderr, flush=True)
            waits = True
            time.sleep(LOOK_EVERY)
    try:
        yield
    finally:
        lock.release()


def _sweep(path: Path) -> None:
    """Remove what killed processes have left in the folder of an array whose lock is held."""
    locks = path.parent.glob(f".*.npy{NAME}")
    left: dict[str, list[Path]] = {lock.name[1 : -len(NAME)]: [] for lock in locks}
    for partial in path.parent.glob(".*.partial*"):
        left.setdefault(partial.name[1:].partition(".npy")[0] + ".npy", []).append(partial)
    for name, partials in left.items():
        own = name == path.name
        with suppress(BlockingIOError), nullcontext() if own else FolderLock(path.with_name(name), "", True):
            for partial in partials:
                partial.unlink(missing_ok=True)
