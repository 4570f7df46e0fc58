"""What a run shows: a live bar, and a picture of its metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from playloop.training.metrics import Record, read_metrics

Show = Callable[[int, float, float], object]
"""Takes the step, the loss and the rows a second."""

HIDDEN = {"step", "seconds", "rows_per_second"}


def plot_metrics(source: Path, target: Path) -> None:
    """Draw every metric of a `metrics.jsonl` into one PNG, training and validation in the same panel."""
    records = read_metrics(source)
    names = sorted({_panel(name) for record in records for name in record} - HIDDEN)
    if not names:
        return
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5 * columns, 3.2 * rows))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        _draw(axis, name, records)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.tight_layout()
    partial = target.with_name(f".{target.name}.partial")
    figure.savefig(partial, format="png", dpi=110)
    os.replace(partial, target)


def _draw(axis: Any, name: str, records: list[Record]) -> None:
    for key, style in ((name, "-"), (f"validation/{name}", "o-")):
        points = [(record["step"], record[key]) for record in records if record.get(key) is not None]
        if points:
            label = "validation" if key != name else "training"
            axis.plot(*zip(*points, strict=True), style, label=label, markersize=3, linewidth=1)
    axis.set_title(name)
    axis.set_xlabel("step")
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend()


def _panel(name: str) -> str:
    return name.removeprefix("validation/")


@contextmanager
def progress_bar(done: int, steps: int, shown: bool) -> Iterator[Show]:
    """A bar over all steps of the run, of which `done` were done before; silent unless `shown`."""
    columns = [TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}")]
    with Progress(*columns, TimeRemainingColumn(), disable=not shown) as bar:
        line = bar.add_task("", total=steps, completed=done, said="")
        yield lambda step, loss, speed: bar.update(
            line, completed=step, said=f"loss {loss:.4f}, {speed:.0f} rows/s"
        )
