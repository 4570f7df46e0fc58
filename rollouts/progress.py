"""A live line: how many are done, how many succeeded, how fast it goes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from playloop.core.episode import Episode
from playloop.core.results import BLAMED, EpisodeResult
from playloop.core.segment import Segment
from playloop.core.statistics import wilson
from playloop.rollouts.callbacks import Callback

PLAIN_INTERVAL = 30.0
"""Seconds between lines where the output is a file and not a terminal."""
PATIENCE = 5.0
"""Seconds of silence before it is told what is being loaded."""
LOG_WIDTH = 200
"""Columns of a table in a file or a pipe, which has none of its own: lines are cut where they are read."""


def new_console(stderr: bool = True) -> Console:
    """A console on stderr or stdout. NO_COLOR, FORCE_COLOR and COLUMNS count, as Rich reads them."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() or "COLUMNS" in os.environ else LOG_WIDTH)


def is_live(console: Console) -> bool:
    """Whether a line can be written anew: on a terminal. A file with FORCE_COLOR has colours and no more."""
    forced = bool(os.environ.get("FORCE_COLOR")) and not console.file.isatty()
    return console.is_terminal and not console.is_dumb_terminal and not forced


@contextmanager
def announced(noun: str, after: float = 0.0) -> Iterator[None]:
    """Say on stderr what takes long and cannot be counted: when it begins, and every half minute its time.

    What ends within `after` seconds is not told. The thread sleeps in between, so that it does not disturb
    what is measured.
    """
    began, ended = time.monotonic(), threading.Event()

    def begin() -> None:
        print(f"{noun} …", file=sys.stderr, flush=True)

    def tell() -> None:
        if after:
            if ended.wait(after):
                return
            begin()
        while not ended.wait(PLAIN_INTERVAL):
            print(f"{noun}: {clock(time.monotonic() - began)}", file=sys.stderr, flush=True)

    if not after:
        begin()
    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def clock(seconds: float) -> str:
    """A length of time, "1:05" or "2:01:05"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Facts(ProgressColumn):
    """The end of a live line: what a narrow terminal cuts, while the counts before it stay whole."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["facts"], no_wrap=True, overflow="ellipsis")


class LiveLine:
    """How many of so many are done, and some facts: a bar on a terminal, else a line now and then.

    `first` says what happens until there are facts; without a terminal its time is told every half minute.
    """

    def __init__(self, noun: str, total: int, done: int, console: Console, first: str = ""):
        self.noun, self.total, self.first, self.done, self.console = noun, total, done, done, console
        self._live = is_live(console)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24 if console.width >= 120 else 8),
            MofNCompleteColumn(),
            Facts(table_column=Column(no_wrap=False)),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console, refresh_per_second=4, disable=not self._live)
        self._task = self._bar.add_task(noun, total=total, completed=done, facts=f"{first or 'starting'} …")
        self._began = self._printed = time.monotonic()
        self._shown = threading.Event()
        self._bar.start()
        if not self._live:
            self._print(f"  {first} …" if first else "")
            if first:
                threading.Thread(target=self._wait, args=(first,), daemon=True).start()

    def show(self, facts: Callable[[], str], more: int = 0) -> None:
        """So many more are done; the facts are made only if they are shown."""
        self._shown.set()
        self.done += more
        if self._live:
            self._bar.update(self._task, completed=self.done, facts=facts())
        elif (more and self.done == self.total) or time.monotonic() - self._printed > PLAIN_INTERVAL:
            self._print(f"  {facts()}")

    def pace(self) -> float:
        """How many a second since this line began."""
        return (self.done - self.first) / max(time.monotonic() - self._began, 1e-9)

    def left(self) -> str:
        """The time that the rest will take at this pace, "1:05 left"; for once something is done."""
        return f"{clock((self.total - self.done) / self.pace())} left"

    def stop(self) -> None:
        """Leave the line as it is."""
        self._shown.set()
        self._bar.stop()

    def _wait(self, first: str) -> None:
        while not self._shown.wait(PLAIN_INTERVAL):
            self._print(f"  {first}, {clock(time.monotonic() - self._began)}")

    def _print(self, facts: str) -> None:
        text = f"{self.noun} {self.done}/{self.total}{facts}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._printed = time.monotonic()


class ProgressBar(Callback):
    """Running success rate with its interval, episodes a minute, time left and errors.

    `earlier` results of the same request, which another run finished, count in the rate; `whose` episodes
    these are, where they are not those that were asked for.
    """

    def __init__(
        self, earlier: Iterable[EpisodeResult] = (), console: Console | None = None, whose: str = ""
    ):
        self.console, self.noun = console or new_console(), f"{whose} episodes".strip()
        self.results = list(earlier)
        self.steps = 0
        self._reasons: dict[tuple[str | None, str | None], str] = {}
        self._line: LiveLine | None = None

    def on_start(self, total: int, done: int) -> None:
        self._line = LiveLine(self.noun, total, done, self.console, "building the environment")

    def on_begin(self, episode: Episode) -> None:
        self._show()

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        self.steps += len(segment)
        self._show()

    def on_end(self, result: EpisodeResult) -> None:
        self.results.append(result)
        self._show(1)
        if result.error:
            self.console.print(self._reason(result), markup=False)

    def on_close(self) -> None:
        if self._line is not None:
            self._line.stop()

    def facts(self) -> str:
        """The numbers of the line, as text."""
        assert self._line is not None
        judged = [result for result in self.results if result.error is None]
        errors = len(self.results) - len(judged)
        parts = [_rate_text(sum(result.success for result in judged), len(judged))]
        if pace := self._line.pace():
            parts.append(f"{self._line.left()} · {60 * pace:.1f} episodes/min")
        else:
            parts.append(f"{self.steps} steps")
        if errors:
            parts.append(f"{errors} error{'s' * (errors > 1)}")
        return " · ".join(parts)

    def _reason(self, result: EpisodeResult) -> str:
        """What to say of an error; a reason that was given already is not repeated."""
        key, reason = result.episode.key, (result.fault, result.error)
        first = self._reasons.setdefault(reason, key)
        if first != key:
            return f"{key} could not be judged, for the reason of {first}"
        return f"{key} could not be judged: {BLAMED[result.fault]}{result.error}"

    def _show(self, more: int = 0) -> None:
        if self._line is not None:
            self._line.show(self.facts, more)


def _rate_text(successes: int, trials: int) -> str:
    if not trials:
        return "no episode yet"
    low, high = wilson(successes, trials)
    return f"success {successes / trials:.1%} (95 %: {low:.0%} to {high:.0%})"
