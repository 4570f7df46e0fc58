"""The live bar of a training run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Show = Callable[[int, float, float], object]
"""Takes the step, the loss and the rows a second."""


@contextmanager
def progress_bar(done: int, steps: int, shown: bool) -> Iterator[Show]:
    """A bar over all steps of the run, of which `done` were done before; silent unless `shown`."""
    columns = [
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}, {task.fields[speed]:.0f} rows/s"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, disable=not shown) as bar:
        line = bar.add_task("", total=steps, completed=done, loss=math.nan, speed=0.0)
        yield lambda step, loss, speed: bar.update(line, completed=step, loss=loss, speed=speed)
