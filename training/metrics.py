"""Numbers on the way: means between two log lines, the file of the lines, and a live line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from playloop.core.checked import read_typed
from playloop.core.files import write_atomic
from playloop.rollouts.progress import LiveLine, new_console

Record = dict[str, int | float | None]
"""A line of metrics: "step" and the like whole, others maybe null where they are no finite number."""
Show = Callable[[int, float, float], object]
"""Takes the step, the loss and the rows a second."""


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


@contextmanager
def progress_bar(done: int, steps: int, shown: bool) -> Iterator[Show]:
    """A line over all steps of the run, of which `done` were done before; silent unless `shown`."""
    if not shown:
        yield lambda step, loss, speed: None
        return
    line = LiveLine("training", steps, done, new_console())

    def show(step: int, loss: float, speed: float) -> None:
        line.show(lambda: f"loss {loss:.4f} · {speed:.0f} rows/s · {line.left()}", step - line.done)

    try:
        yield show
    finally:
        line.stop()
