"""A run's folder, which one training at a time writes to, and the states in it: whole or not there at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from playloop.core.checked import read_typed
from playloop.core.files import file_hash, read_json, write_json
from playloop.core.formats import check_format
from playloop.core.ledger import differences
from playloop.core.locks import FolderLock
from playloop.core.scratch import staged
from playloop.demos.arrays import FULL
from playloop.training.distributed import ProcessGroup
from playloop.training.metrics import read_metrics

TENSORS, SCALARS, HASHES = "tensors.safetensors", "scalars.json", "sha256.json"


@dataclass
class Scalars:
    """What a state holds besides tensors; with them a run goes on as if it had not been stopped.

    There is no state of random generators: every step's generators are seeded by the run's seed and the step.

    Args:
        step: steps that are done.
        count: of them since the last line of metrics.
        seconds: that they took.
        settings: of the run; others are not gone on with.
        threads: that computed on the processor: another number rounds sums otherwise.
    """

    step: int
    count: int
    seconds: float
    settings: dict[str, Any]
    threads: int


@contextmanager
def claimed(folder: Path, group: ProcessGroup, settings: dict[str, Any]) -> Iterator[None]:
    """Hold a folder alone inside the block; what can be refused before data is read, is.

    Args:
        folder: of the run; created if it is missing.
        group: whose first process holds the lock for all.
        settings: of the run, as a state holds them; under "task" those that are known already.

    Raises:
        BlockingIOError: another process holds it; names that.
        StoppedWithFirst: in all processes but the first, which says why.
        ValueError: it holds a run with other settings, or its metrics are damaged.
        OSError: its disk is full, at any time.
    """
    lock = FolderLock(folder, "playloop train")
    try:
        with _full_disk_in_words(folder):
            group.on_first(lock.acquire)
            group.on_first(lambda: _check_claimed(folder, settings))
            yield
    finally:
        lock.release()


def _check_claimed(folder: Path, settings: dict[str, Any]) -> None:
    clean_states(folder / "state")
    for name in ("metrics.jsonl", "metrics.png", "exported.txt"):
        for leftover in folder.glob(f".{name}.*"):  # of runs that were killed while writing
            leftover.unlink(missing_ok=True)
    read_metrics(folder / "metrics.jsonl")
    stored = stored_settings(folder / "state")
    if stored is not None:
        task = {n: value for n, value in (stored.get("task") or {}).items() if n in settings["task"]}
        refuse_other_run(stored | {"task": task}, settings, folder)


def save_state(folder: Path, tensors: dict[str, Tensor], scalars: Scalars) -> None:
    """Write `folder/step_XXXXXXXX`; older ones than the last two are removed, and damaged later ones.

    What is there already stays where it cannot be written.
    """
    target = folder / f"step_{scalars.step:08d}"
    clean_states(folder)
    with staged(target) as partial:
        dense = torch.contiguous_format  # convolutions may lie channels last, which a file cannot hold
        tensors = {n: value.detach().cpu().clone(memory_format=dense) for n, value in tensors.items()}
        save_file(tensors, partial / TENSORS)
        write_json(partial / SCALARS, asdict(scalars))
        write_json(partial / HASHES, {name: file_hash(partial / name) for name in (TENSORS, SCALARS)})
        _to_disk(partial / TENSORS)
    _to_disk(folder)
    saved = _saved(folder)
    later = [path for path in saved if path.name > target.name]  # this run could not go on from them
    for unused in later + [path for path in saved if path not in later][:-2]:
        shutil.rmtree(unused)


def load_state(folder: Path, say: Callable[[str], object]) -> tuple[dict[str, Tensor], Scalars] | None:
    """The latest sound state in `folder`, on the CPU; None if there is none at all.

    `say` takes a sentence about each later one that is damaged.

    Raises:
        ValueError: all of them are damaged.
    """
    damage = []
    for path in reversed(_saved(folder)):
        try:
            scalars = read_scalars(path)
            _check_hash(path, TENSORS)
            return load_file(path / TENSORS), scalars
        except ValueError as error:
            damage.append(str(error))
            say(f"{error}: the run goes on from the state before it")
    if damage:
        raise ValueError(
            f"{damage[-1]}, and no older state is sound: restore {folder} from a copy, or remove it to begin "
            "anew"
        )
    return None


def stored_settings(folder: Path) -> dict[str, Any] | None:
    """The settings of the run whose states lie in `folder`; None if there is no state that can be read."""
    for path in reversed(_saved(folder)):
        try:
            return read_scalars(path).settings
        except ValueError:  # `load_state` says so
            continue
    return None


def clean_states(folder: Path) -> None:
    """Remove what runs that were killed while writing have left."""
    for leftover in folder.glob(".step_*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink()


def read_scalars(path: Path) -> Scalars:
    """The scalars of one state; a ValueError if they are missing, damaged, or not what was written."""
    _check_hash(path, SCALARS)
    record = read_json(path / SCALARS)
    settings = record.pop("settings", {})  # in which a clip may be infinite, which JSON does not know
    return replace(read_typed(Scalars, record | {"settings": {}}, str(path / SCALARS)), settings=settings)


def _check_hash(path: Path, name: str) -> None:
    """Refuse a file of a state that is not what was written."""
    try:
        written, found = read_json(path / HASHES, "it cannot be used").get(name), file_hash(path / name)
    except OSError as error:
        raise ValueError(f"{error.filename} cannot be read ({error.strerror})") from error
    if found != written:
        raise ValueError(f"{path / name} is not what {HASHES} says")


def _to_disk(path: Path) -> None:
    """Wait until a file or a folder's list of names would outlive a power cut."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _full_disk_in_words(folder: Path) -> Iterator[None]:
    """Turn what the many ways of writing raise on a full disk into one OSError that says how to go on."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number not in FULL and f"(os error {errno.ENOSPC})" not in str(error):
            raise
        last = [path.name.removeprefix("step_").lstrip("0") for path in _saved(folder / "state")[-1:]]
        where = f"step {last[0]}, whose state is whole" if last else "its beginning"
        raise OSError(
            f"the disk of {folder} is full; free some room and repeat the command: the run goes on from "
            f"{where}"
        ) from error


def refuse_other_run(stored: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """Raise a ValueError that names the settings which differ, if any do, or another format."""
    check_format(stored, f"the run in {folder}", "choose another out")
    if changed := differences(stored, wanted):
        raise ValueError(
            f"{folder} holds a run with other settings ({'; '.join(changed[:5])}). "
            "Restore them, or choose another out."
        )


def _saved(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*"))
