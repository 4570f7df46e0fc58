"""Real-time play end to end: a server, a browser with keys held, and what the page measures."""

from __future__ import annotations

import itertools
import time
from typing import Annotated, Any

from annotated_types import Ge, MinLen
from rich.table import Table

from playloop.benchmarks.chromium import chromium, numbers, open_page
from playloop.benchmarks.servers import megabytes, served
from playloop.core.annotations import Count
from playloop.core.checked import checked

BEGINNING = 15.0
"""Seconds after which the beginning is looked at: the page's last 200 frames are ten."""
SHOWN = {"interval": "between frames", "latency": "key to picture", "cost": "a step on the server"}
"""What the page measures, and its words for it."""


@checked
class PlayBench:
    """What is played, and how.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        settings: words for `playloop play`.
        seconds: of play, after the session is ready.
        keys: held in turn, a second each.
        size: width and height of the browser's window.
    """

    settings: tuple[str, ...] = ("env=craft",)
    seconds: Annotated[float, Ge(5)] = 30.0
    keys: Annotated[tuple[str, ...], MinLen(1)] = ("KeyW", "KeyD", "KeyW", "KeyA")
    size: tuple[Count, Count] = (1280, 800)

    def run(self) -> dict[str, Any]:
        """Frame rate, frame intervals and latency from key to picture, of all that was played and of its
        beginning and end, and memory at both.

        Raises:
            RuntimeError: there is no browser, or the server does not start.
        """
        with served("play", self.settings) as (address, server), chromium() as browser:
            page = open_page(browser, address, *self.size)
            part = min(BEGINNING, self.seconds / 2)
            self._play(page, part)
            begin = numbers(page) | {"mb": megabytes(server.pid)}
            self._play(page, self.seconds - part)
            end = numbers(page) | {"mb": megabytes(server.pid)}
            settings = {"settings": list(self.settings), "seconds": self.seconds}
            return settings | {"begin": begin, "end": end}

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        title = f"{' '.join(report['settings'])}: {report['seconds']:g} s in a headless Chromium"
        begin, end = report["begin"], report["end"]
        table = Table("", "all", "all, 99 %", "beginning", "end", title=title)
        rate = [f"{begin['fps']:.2f}", f"{end['fps']:.2f}"]
        table.add_row("frames a second", f"{end['everFps']:.2f}", "", *rate)
        for name, text in SHOWN.items():
            ever = [f"{end[f'{name}EverP50']:.0f}", f"{end[f'{name}EverP99']:.0f}"]
            ends = [f"{part[f'{name}P50']:.0f}, 99 %: {part[f'{name}P99']:.0f}" for part in (begin, end)]
            table.add_row(f"{text}, ms (n = {end[f'{name}Count']:.0f})", *ever, *ends)
        table.add_row("memory, MB", "", "", f"{begin['mb']:.0f}", f"{end['mb']:.0f}")
        return table

    def _play(self, page: Any, seconds: float) -> None:
        end, keys = time.monotonic() + seconds, itertools.cycle(self.keys)
        while time.monotonic() < end:
            key = next(keys)
            page.keyboard.down(key)
            page.wait_for_timeout(500)
            page.keyboard.up(key)
            page.wait_for_timeout(500)
        if page.problems:
            raise RuntimeError(f"the page reports: {page.problems[0]}")
