"""Numbers on the way: means between two log lines, the file of the lines, its picture, and a live bar."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from playloop.core.checked import read_typed
from playloop.core.files import write_atomic

Record = dict[str, int | float | None]
"""A line of metrics: "step" and the like whole, others maybe null where they are no finite number."""
Show = Callable[[int, float, float], object]
"""Takes the step, the loss and the rows a second."""
HIDDEN = {"step", "seconds", "rows_per_second"}
"""What is not drawn."""


class Averages:
    """Means of metrics since the last log line; summed on the device, so that no step waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Add one step's metrics."""
        for name, value in metrics.items():
            value = value.detach().double() if value.device.type != "mps" else value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means, as floats; begins anew."""
        means = self.means()
        self.sums, self.count = {}, 0
        return means

    def means(self) -> dict[str, float]:
        """The means so far, as floats."""
        names = list(self.sums)
        values = torch.stack([self.sums[name] for name in names]).tolist() if names else []
        return {name: value / self.count for name, value in zip(names, values, strict=True)}


def append_metrics(path: Path, record: Mapping[str, float]) -> None:
    """Add one line to `metrics.jsonl`; what is no finite number becomes null, which JSON knows."""
    known = {name: value if math.isfinite(value) else None for name, value in record.items()}
    with path.open("a") as file:
        file.write(json.dumps(known) + "\n")


def truncate_metrics(path: Path, step: int) -> None:
    """Drop lines after step `step`, which a resumed run repeats, and a line that a kill cut short."""
    kept = [record for record in read_metrics(path) if (record["step"] or 0) <= step]
    write_atomic(path, "".join(json.dumps(record) + "\n" for record in kept))


def read_metrics(path: Path) -> list[Record]:
    """The records of a metrics file, without a last line that is not whole; none if there is no file.

    Raises:
        ValueError: another line is damaged; names it.
    """
    lines = path.read_text(errors="replace").split("\n") if path.exists() else [""]
    return [_record(line, f"{path}, line {number}") for number, line in enumerate(lines[:-1], 1)]


def _record(line: str, where: str) -> Record:
    try:
        value = json.loads(line, parse_constant=lambda name: None)  # older versions wrote NaN
        record: Record = read_typed(Record, value, where)
        read_typed(int, record.get("step"), f"{where}: step")
        return record
    except ValueError as error:
        said = str(error).removeprefix(f"{where}: ")
        raise ValueError(f"{where} is damaged ({said}); remove that line") from error


def plot_metrics(source: Path, target: Path) -> None:
    """Draw every metric of a `metrics.jsonl` into one PNG, training and validation in the same panel."""
    records = read_metrics(source)
    names = sorted({name.removeprefix("validation/") for record in records for name in record} - HIDDEN)
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


@contextmanager
def progress_bar(done: int, steps: int, shown: bool) -> Iterator[Show]:
    """A bar over all steps of the run, of which `done` were done before; silent unless `shown`."""
    columns = [TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}")]
    with Progress(*columns, TimeRemainingColumn(), disable=not shown) as bar:
        line = bar.add_task("", total=steps, completed=done, said="")
        yield lambda step, loss, speed: bar.update(
            line, completed=step, said=f"loss {loss:.4f}, {speed:.0f} rows/s"
        )
