"""The picture of a run's metrics: a panel for each, with its name, its unit and what it says."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from playloop.training.metrics import Record, read_metrics

HIDDEN = {"step", "seconds", "rows_per_second"}
"""What is not drawn."""
VALIDATION, IMAGINED = "validation/", "imagined_"


class Panel(NamedTuple):
    """What is written around the curves of one metric."""

    title: str
    unit: str
    meaning: str


PANELS = {
    "loss": Panel("Loss", "loss, no unit", "what training lowers"),
    "cross_entropy": Panel("Cross-entropy", "nats a token", "of masked action tokens, a part of the loss"),
    "accuracy": Panel("Token accuracy", "share of tokens", "predicted tokens that are right"),
    "persistence": Panel(
        "Persistence",
        "share of tokens",
        "tokens that are right if the frame before is repeated: accuracy must beat it",
    ),
    "accuracy_actions": Panel(
        "Accuracy of actions", "share of tokens", "predicted action tokens that are right"
    ),
    "keys_accuracy": Panel("Accuracy of keys", "share of keys", "keys read right, each for itself"),
    "action_accuracy": Panel(
        "Accuracy of actions", "share of actions", "actions of which every key is read right"
    ),
    "camera_degrees": Panel("Camera", "degrees", "mean error of an angle that is read"),
    "psnr": Panel("PSNR", "dB", "whole frames against the truth; more is better"),
    "psnr_disturbed": Panel("PSNR, disturbed", "dB", "frames of which some codes were disturbed"),
    "psnr_generated": Panel("PSNR, imagined", "dB", "true frames, drawn from codes that were imagined"),
    "codes_in_batch": Panel(
        "Codes in use", "share of codes", "codes that occur in a batch, of all that there are"
    ),
    "divergence": Panel("Divergence", "nats a token", "from the teacher's distribution, a part of the loss"),
    "truth": Panel("Cross-entropy", "nats a token", "of the recorded tokens, a part of the loss"),
    "gradient_norm": Panel("Gradient norm", "norm, no unit", "length of the gradient before it is clipped"),
    "rate": Panel("Learning rate", "rate, no unit", "step size of the optimizer, as scheduled"),
}
"""Metric \u2192 its panel, in the order of the picture."""


def plot_metrics(source: Path, target: Path) -> None:
    """Draw every metric of a `metrics.jsonl` into one PNG; nothing where there is none."""
    if figure := figure_of(read_metrics(source), source.absolute().parent.name):
        partial = target.with_name(f".{target.name}.partial")
        figure.savefig(partial, format="png", dpi=110)
        os.replace(partial, target)


def figure_of(records: Sequence[Record], run: str) -> Figure | None:
    """A panel for each metric, training and validation in the same; None where there is no metric."""
    names = {name.removeprefix(VALIDATION) for record in records for name in record} - HIDDEN
    if not names:
        return None
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5 * columns, 3.5 * rows + 1), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, name in zip(axes.flat, sorted(names, key=_place), strict=False):
        _draw(axis, name, records)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    minutes = (records[-1].get("seconds") or 0) / 60
    figure.suptitle(f"{run}: {records[-1]['step']:,} steps in {minutes:.1f} minutes", fontsize=12)
    _explain(figure, axes.flat)
    return figure


def panel_of(name: str) -> Panel:
    """What a metric is called and what it says; a task of the user's own has the name alone."""
    if name in PANELS:
        return PANELS[name]
    if inner := PANELS.get(name.removeprefix(IMAGINED)):
        return Panel(f"{inner.title}, behind imagined frames", inner.unit, inner.meaning)
    if number := re.fullmatch(r"target_(\d+)_cm", name):
        which = f"named position {int(number[1]) + 1}"
        return Panel(f"Error of {which}", "cm", "distance of the position that the policy names")
    return Panel(name.replace("_", " "), "", "")


def _place(name: str) -> tuple[int, str]:
    """Known metrics in the table's order, behind each what belongs to imagined frames; others before the last
    two, which are the optimizer's.
    """
    order = list(PANELS)
    known = name.removeprefix(IMAGINED)
    return (order.index(known) if known in order else order.index("gradient_norm") - 1), name


def _draw(axis: Any, name: str, records: Sequence[Record]) -> None:
    panel = panel_of(name)
    for key, label, style in ((name, "training", "-"), (VALIDATION + name, "validation", "o-")):
        points = [(record["step"], record[key]) for record in records if record.get(key) is not None]
        if points:
            axis.plot(*zip(*points, strict=True), style, label=label, markersize=3, linewidth=1)
    meaning = textwrap.fill(panel.meaning, 60)
    axis.set_title(panel.title, fontsize=11, loc="left", pad=10 + 10 * len(meaning.splitlines()))
    axis.text(0, 1.02, meaning, transform=axis.transAxes, fontsize=8, color="0.35", va="bottom")
    axis.set_xlabel("optimizer steps")
    axis.set_ylabel(panel.unit)
    axis.grid(alpha=0.3)


def _explain(figure: Figure, axes: Any) -> None:
    """One legend for all panels, which says what the two kinds of curves are."""
    said = {
        "training": "training: mean over the batches since the point before",
        "validation": "validation: episodes held out of training, by the averaged weights",
    }
    lines = {line.get_label(): line for axis in axes for line in axis.lines}
    if shown := [label for label in said if label in lines]:
        handles, texts = [lines[label] for label in shown], [said[label] for label in shown]
        figure.legend(handles, texts, loc="outside lower left", ncols=len(shown), frameon=False, fontsize=9)
