"""A run's folder, which one training at a time writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playloop.core.locks import FolderLock
from playloop.training.distributed import World
from playloop.training.metrics import read_metrics
from playloop.training.states import clean_states, refuse_other_run, stored_settings, told_when_full


@contextmanager
def claimed(folder: Path, world: World, settings: dict[str, Any], known: set[str]) -> Iterator[None]:
    """Hold a folder alone inside the block; what can be refused before data is read, is.

    Args:
        folder: of the run; created if it is missing.
        world: whose first process holds the lock for all.
        settings: of the run, as a state tells them.
        known: names of the settings under "task" that are known already.

    Raises:
        BlockingIOError: another process holds it; names that.
        StoppedWithFirst: in all processes but the first, which says why.
        ValueError: it holds a run with other settings, or its metrics are damaged.
        OSError: its disk is full, at any time.
    """
    lock, there = FolderLock(folder, "playloop train"), folder.exists()
    try:
        with told_when_full(folder):
            world.first_does(lock.acquire)
            world.first_does(lambda: _check(folder, settings, known))
            yield
    finally:
        lock.release()
        if world.first and not there:
            with suppress(OSError):
                folder.rmdir()  # where nothing was written into it


def _check(folder: Path, settings: dict[str, Any], known: set[str]) -> None:
    clean_states(folder / "state")
    for name in ("metrics.jsonl", "metrics.png", "exported.txt"):
        for leftover in folder.glob(f".{name}.*"):  # of runs that were killed while writing
            leftover.unlink(missing_ok=True)
    read_metrics(folder / "metrics.jsonl")
    stored = stored_settings(folder / "state")
    if stored is not None:
        task = {name: value for name, value in (stored.get("task") or {}).items() if name in known}
        refuse_other_run(stored | {"task": task}, settings, folder)
