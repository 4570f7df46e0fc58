"""A live line while clips are imagined."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PLAIN_INTERVAL = 15.0
"""Seconds between lines where the output is a file and not a terminal."""


class DreamProgress:
    """How many frames are imagined, how many a second, and how long it will take.

    Args:
        total: frames.
        done: of them, before this run.
        console: where to write.
    """

    def __init__(self, total: int, done: int, console: Console):
        self.total, self.first, self.done, self.console = total, done, done, console
        columns = (
            TextColumn("imagining"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
        )
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("frames", total=total, completed=done, facts="")

    def __enter__(self) -> DreamProgress:
        self.began = self.printed = time.monotonic()
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, frames: int) -> None:
        """So many more."""
        self.done += frames
        now = time.monotonic()
        seconds = max(now - self.began, 1e-9)
        pace = (self.done - self.first) / seconds
        left = (self.total - self.done) / pace
        facts = f"{pace:.0f} frames/s · {left / 60:.1f} min left"
        self.bar.update(self.task, completed=self.done, facts=facts)
        if not self.console.is_terminal and (self.done == self.total or now - self.printed > PLAIN_INTERVAL):
            self.console.print(f"{self.done}/{self.total} frames · {facts}", highlight=False)
            self.printed = now
