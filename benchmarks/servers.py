"""Servers of this package in processes of their own: their address, and the memory that they take."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def served(verb: str, words: tuple[str, ...]) -> Iterator[tuple[str, subprocess.Popen]]:
    """`playloop play` or `playloop serve`, on a free port: the address that it prints, and the process."""
    alone = ("browser=false",) if verb == "play" else ()
    command = [sys.executable, "-m", "playloop.cli.main", verb, *words, *alone, "port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"\b(?:http|ws)://\S+", process.stdout.readline())
        if found is None:
            raise RuntimeError(f"playloop {verb} {' '.join(words)} does not start.")
        yield found[0], process
    finally:
        process.terminate()
        process.wait(60)


def megabytes(pid: int) -> float:
    """Resident memory of a process and all that it started."""
    kilobytes, family = 0, [str(pid)]
    while family:
        home = Path("/proc") / family.pop()
        for row in _read(home / "status").splitlines():
            kilobytes += int(row.split()[1]) if row.startswith("VmRSS") else 0
        family += [child for task in home.glob("task/*/children") for child in _read(task).split()]
    return kilobytes / 1000


def _read(path: Path) -> str:
    """A file below /proc; empty if its process has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return path.read_text()
    return ""
