"""A picture of a run's metrics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from playloop.training.metrics import Record, read_metrics

HIDDEN = {"step", "seconds", "rows_per_second"}


def plot_metrics(source: Path, target: Path) -> None:
    """Draw every metric of a `metrics.jsonl` into one PNG, training and validation in the same panel."""
    records = read_metrics(source)
    names = sorted({_panel(name) for record in records for name in record} - HIDDEN)
    if not names:
        return
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(5 * columns, 3.2 * rows), squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        _draw(axis, name, records)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.tight_layout()
    partial = target.with_name(f".{target.name}.partial")
    figure.savefig(partial, format="png", dpi=110)
    pyplot.close(figure)
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
    axis.legend()


def _panel(name: str) -> str:
    return name.removeprefix("validation/")
