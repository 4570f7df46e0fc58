"""A live line: how many are done, how many succeeded, how fast it goes."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from playloop.core.episode import Episode
from playloop.core.results import BLAMED, EpisodeResult
from playloop.core.segment import Segment
from playloop.core.statistics import wilson
from playloop.rollouts.callbacks import Callback

PLAIN_INTERVAL = 15.0
"""Seconds between lines where the output is a file and not a terminal."""


class ProgressBar(Callback):
    """Running success rate with its interval, episodes a minute, time left and errors.

    Args:
        earlier: results of the same request that an earlier run finished; they count in the rate.
        console: where to write.
    """

    def __init__(self, earlier: Iterable[EpisodeResult] = (), console: Console | None = None):
        self.console = console or Console(stderr=True)
        self.results = list(earlier)
        self.fresh = 0
        self.steps = 0
        self._reasons: dict[tuple[str | None, str | None], str] = {}
        self._bar: Progress | None = None

    def on_start(self, total: int, done: int) -> None:
        self.total, self.done, self.began, self.printed = total, done, time.monotonic(), time.monotonic()
        if not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=self.console,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("episodes", total=total, completed=done, facts="starting …")
        self._bar.start()

    def on_begin(self, episode: Episode) -> None:
        self._show()

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        self.steps += len(segment)
        self._show()

    def on_end(self, result: EpisodeResult) -> None:
        self.results.append(result)
        self.fresh += 1
        self._show()
        if self._bar is None and self._due():
            self.console.print(f"{self.done + self.fresh}/{self.total}  {self.facts()}", highlight=False)
            self.printed = time.monotonic()
        if result.error:
            self.console.print(self._told(result), markup=False)

    def on_close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def facts(self) -> str:
        """The numbers of the line, as text."""
        judged = [result for result in self.results if result.error is None]
        errors = len(self.results) - len(judged)
        parts = [_rate_text(sum(result.success for result in judged), len(judged))]
        pace = self.fresh / max(time.monotonic() - self.began, 1e-9)
        if self.fresh:
            left = (self.total - self.done - self.fresh) / pace
            parts.append(f"{60 * pace:.1f} episodes/min · {_duration(left)} left")
        else:
            parts.append(f"{self.steps} steps")
        if errors:
            parts.append(f"{errors} error{'s' * (errors > 1)}")
        return " · ".join(parts)

    def _told(self, result: EpisodeResult) -> str:
        """What to say of an error; a reason that was told already is not told again."""
        key, reason = result.episode.key, (result.fault, result.error)
        first = self._reasons.setdefault(reason, key)
        if first != key:
            return f"{key} could not be judged, for the reason of {first}"
        return f"{key} could not be judged: {BLAMED[result.fault]}{result.error}"

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done + self.fresh, facts=self.facts())

    def _due(self) -> bool:
        return self.done + self.fresh == self.total or time.monotonic() - self.printed > PLAIN_INTERVAL


def _rate_text(successes: int, trials: int) -> str:
    if not trials:
        return "no episode yet"
    low, high = wilson(successes, trials)
    return f"success {successes / trials:.1%} (95 %: {low:.0%} to {high:.0%})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
