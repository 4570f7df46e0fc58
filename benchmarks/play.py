"""Real-time play end to end: a server, a browser with keys held, and what the page measures."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from playloop.benchmarks.chromium import chromium, numbers, open_page


@dataclass
class PlayBenchConfig:
    """What is played, and how.

    Args:
        settings: words for `playloop play`.
        seconds: of play, after the session is ready.
        keys: held in turn, a second each.
        size: width and height of the browser's window.
    """

    settings: tuple[str, ...] = ("env=craft",)
    seconds: float = 30.0
    keys: tuple[str, ...] = ("KeyW", "KeyD", "KeyW", "KeyA")
    size: tuple[int, int] = (1280, 800)

    def make(self) -> PlayBench:
        """The bench."""
        if self.seconds < 5 or not self.keys:
            raise ValueError(f"seconds={self.seconds} must be at least 5, and keys must name one.")
        return PlayBench(self)


class PlayBench:
    """`run()` gives the numbers, `table(numbers)` shows them."""

    def __init__(self, config: PlayBenchConfig):
        self.config = config

    def run(self) -> dict[str, Any]:
        """Frame rate, frame intervals, latency from key to picture, and memory at both ends.

        Raises:
            RuntimeError: there is no browser, or the server does not start.
        """
        with served(self.config.settings) as (address, server), chromium() as browser:
            page = open_page(browser, address, *self.config.size)
            before = megabytes(server.pid)
            self._play(page)
            result = {**numbers(page), "settings": list(self.config.settings), "seconds": self.config.seconds}
            result["mb_begin"], result["mb_end"] = before, megabytes(server.pid)
            return result

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        title = f"{' '.join(report['settings'])}: {report['seconds']:g} s in a headless Chromium"
        table = Table("what", "median", "99 %", title=title)
        table.add_row("frames a second", f"{report['fps']:.2f}", "")
        table.add_row("between frames, ms", f"{report['intervalP50']:.1f}", f"{report['intervalP99']:.1f}")
        table.add_row("key to picture, ms", f"{report['latencyP50']:.1f}", f"{report['latencyP99']:.1f}")
        table.add_row("a step on the server, ms", f"{report['costP50']:.1f}", "")
        table.add_row("memory, MB, begin and end", f"{report['mb_begin']:.0f}", f"{report['mb_end']:.0f}")
        return table

    def _play(self, page: Any) -> None:
        end, turn = time.monotonic() + self.config.seconds, 0
        while time.monotonic() < end:
            key = self.config.keys[turn % len(self.config.keys)]
            page.keyboard.down(key)
            page.wait_for_timeout(500)
            page.keyboard.up(key)
            page.wait_for_timeout(500)
            turn += 1
        if page.problems:
            raise RuntimeError(f"the page reports: {page.problems[0]}")


@contextlib.contextmanager
def served(settings: tuple[str, ...]) -> Iterator[tuple[str, subprocess.Popen]]:
    """`playloop play` in a process of its own: its address, and the process."""
    command = [sys.executable, "-m", "playloop.cli.main", "play", *settings, "port=0", "browser=false"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "Playing at " not in line:
            raise RuntimeError(f"playloop play {' '.join(settings)} does not start.")
        yield line.split("Playing at ")[1].split()[0], process
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
