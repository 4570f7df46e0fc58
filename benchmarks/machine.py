"""What this machine can do at most, measured: reading memory and multiplying matrices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from playloop.nn.quantize import Kind, rows_to_fp8

MULTIPLIED: dict[Kind, torch.dtype] = {"int8": torch.bfloat16, "fp8": torch.float8_e4m3fn}
"""In what `nn.quantize` multiplies with weights in eight bits."""


def wait(device: torch.device | str) -> None:
    """Until the device has done what it was told."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def name_of(device: torch.device | str) -> str:
    """The device in words."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def short(number: float) -> str:
    """For a narrow table: one digit behind the point below 100, none above."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}"


def bandwidth(device: torch.device | str) -> float:
    """Bytes a second of reading, best of several passes over 256 MB.

    On a GPU over 4 GB: it reads 256 MB in the time that it takes to begin and to wait for it.
    """
    data = torch.ones(1_000_000_000 if torch.device(device).type == "cuda" else 64_000_000, device=device)
    return data.numel() * 4 / min(_times(lambda: data.sum(), 6, device))


def matrix_rate(dtype: torch.dtype, device: torch.device | str) -> float:
    """Operations a second of a large square product, the best of several; two for a multiply-add.

    Of noise: a GPU multiplies ones faster than anything else, for they take less power. float8_e4m3 is
    multiplied as `nn.quantize` does, with a scale for each row.
    """
    size = 8192 if torch.device(device).type == "cuda" else 768
    generator = torch.Generator(device).manual_seed(0)
    draw = partial(torch.randn, size, size, generator=generator, device=device)
    left, right = draw(), draw()
    if dtype == torch.float8_e4m3fn:
        (rows, scale_a), (outputs, scale_b) = rows_to_fp8(left), rows_to_fp8(right)
        product = partial(torch._scaled_mm, rows, outputs.T, scale_a, scale_b.T, out_dtype=torch.bfloat16)
    else:
        product = partial(torch.matmul, left.to(dtype), right.to(dtype))
    return 2.0 * size**3 / min(_times(product, 10, device))


def rates(
    dtype: torch.dtype, device: torch.device | str, weights: Kind | None = None
) -> tuple[float, float, float]:
    """Bytes a second, operations a second, and those with weights in eight bits, where there are any."""
    rate, kind = matrix_rate(dtype, device), dtype if weights is None else MULTIPLIED[weights]
    return bandwidth(device), rate, rate if kind == dtype else matrix_rate(kind, device)


def measured(speed: tuple[float, float, float], device: str, weights: Kind | None) -> dict[str, Any]:
    """`rates` for a report."""
    found = {"device": name_of(device), "gb_per_second": speed[0] / 1e9, "tflop_per_second": speed[1] / 1e12}
    return found | {"weights": weights, "weights_tflop_per_second": speed[2] / 1e12}


def table_of(report: dict[str, Any], title: str, caption: str, headings: Sequence[str]) -> Table:
    """An empty table of milliseconds, narrow enough for a terminal; its caption begins with what `measured`
    found."""
    eight = f", {report['weights_tflop_per_second']:.2f} with {report['weights']} weights"
    rates = f"{report['gb_per_second']:.0f} GB/s and {report['tflop_per_second']:.2f} Tflop/s"
    rates += eight if report["weights"] else ""
    caption = f"milliseconds; {report['device']}: {rates} measured; {caption}"
    table = Table(title=title, caption=caption, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    return table


@dataclass(frozen=True)
class Cost:
    """What a computation cannot do without."""

    bytes: float  # read from memory
    operations: float  # multiplications and additions
    eight: float = 0.0  # of them, those with weights in eight bits

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.bytes + other.bytes, self.operations + other.operations, self.eight + other.eight)

    def __mul__(self, times: float) -> Cost:
        return Cost(self.bytes * times, self.operations * times, self.eight * times)

    def floor(
        self, bytes_per_second: float, operations_per_second: float, eight_per_second: float | None = None
    ) -> float:
        """Seconds that it takes at least at these `rates`: reading and multiplying can go on side by side."""
        multiplying = (self.operations - self.eight) / operations_per_second
        multiplying += self.eight / (eight_per_second or operations_per_second)
        return max(self.bytes / bytes_per_second, multiplying)


@dataclass(frozen=True)
class Timing:
    """Milliseconds of several runs."""

    p50: float
    p99: float


def alternate(
    ways: dict[str, Callable[[], Any]], repeats: int, device: torch.device | str
) -> tuple[dict[str, Timing], dict[str, Any]]:
    """Time ways of doing the same, in turn, so that a disturbance of the machine meets all of them.

    Returns:
        Milliseconds by name, and what each way gave the last time.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Any] = {name: way() for name, way in ways.items()}  # warms up, too
    wait(device)
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            results[name] = way()
            wait(device)
            seconds[name].append(time.perf_counter() - began)
    return {name: timing(values) for name, values in seconds.items()}, results


def timing(seconds: list[float]) -> Timing:
    """Median and 99th percentile."""
    ordered = sorted(seconds)
    slow = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return Timing(1000 * statistics.median(ordered), 1000 * slow)


def _times(action: Callable[[], Any], count: int, device: torch.device | str) -> list[float]:
    times = []
    for _ in range(count):
        wait(device)
        began = time.perf_counter()
        action()
        wait(device)
        times.append(time.perf_counter() - began)
    return times


def operations(run: Callable[[], Any]) -> dict[Any, int]:
    """Multiplications and additions of products, counted while it runs, by PyTorch's name of the product."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_flop_counts()["Global"]
