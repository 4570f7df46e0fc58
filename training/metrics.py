"""Numbers on the way: means between two log lines, and the file of the lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playloop.core.files import write_atomic


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
        names, count = list(self.sums), self.count
        values = torch.stack([self.sums[name] for name in names]).tolist() if names else []
        self.sums, self.count = {}, 0
        return {name: value / count for name, value in zip(names, values, strict=True)}


class MetricLog:
    """`metrics.jsonl`: one JSON object a line, appended; a resumed run drops lines that it repeats."""

    def __init__(self, path: Path):
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Add one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def truncate(self, step: int) -> None:
        """Drop lines after step `step`, and a line that a kill cut short."""
        kept = [record for record in read_metrics(self.path) if record["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(record) + "\n" for record in kept))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file, without a last line that is not whole."""
    lines = path.read_text().split("\n") if path.exists() else [""]
    return [json.loads(line) for line in lines[:-1]]
