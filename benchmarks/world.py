"""A world model's frame decoded in raster order and diagonally in one run, beside the floor of the memory."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rich.table import Table

from playloop.worlds.cache import RingCache
from playloop.worlds.decode import SamplerConfig, decode_frame, write_frame
from playloop.worlds.model import WorldConfig, WorldModel


@dataclass
class WorldBenchConfig:
    """What is timed: a model of these sizes with new weights, which cost what trained ones do.

    Args:
        model: sizes; every one of its windows is timed.
        frames: timed for each window, after the context is full.
        batch: sessions decoded together.
        threads: of PyTorch.
        precision: "bf16" or "fp32", of weights, cache and arithmetic.
        device: to run on.
    """

    model: WorldConfig = field(default_factory=WorldConfig)
    frames: int = 60
    batch: int = 1
    threads: int = 2
    precision: str = "bf16"
    device: str = "cpu"

    def make(self) -> WorldBench:
        """The bench, its model built."""
        return WorldBench(self)


class WorldBench:
    """`run()` gives the numbers, `table(numbers)` shows them."""

    def __init__(self, config: WorldBenchConfig):
        self.config = config
        torch.set_num_threads(config.threads)
        dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[config.precision]
        self.model = config.model.make().eval().to(config.device, dtype)

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Milliseconds a frame of each window, and the floor of reading the weights once a pass."""
        model, report = self.model, {}
        gigabytes = sum(p.numel() * p.element_size() for p in model.blocks.parameters()) / 1e9
        gigabytes += model.head.weight.numel() * model.head.weight.element_size() / 1e9
        speed = _bandwidth(self.config.device)
        for window, schedule in sorted(model.schedules.items()):
            times = _time_frames(model, window, self.config)
            report[window] = {
                "passes": schedule.forwards,
                "p50_ms": 1000 * statistics.median(times),
                "p99_ms": 1000 * float(np.quantile(times, 0.99)),
                "floor_ms": 1000 * schedule.forwards * gigabytes / speed,
            }
        parameters = sum(p.numel() for p in model.parameters()) / 1e6
        return {"windows": report, "parameters_m": parameters, "gb_per_second": speed}

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        sizes = f"{report['parameters_m']:.1f} M parameters, {self.config.precision}"
        threads = f"{self.config.threads} threads, {report['gb_per_second']:.0f} GB/s"
        table = Table(title=f"one frame of {sizes}, {threads}; frame decoding not included")
        for heading in ("window", "passes", "p50 ms", "p99 ms", "frames/s", "floor ms", "speed-up"):
            table.add_column(heading, justify="right")
        raster = report["windows"][max(report["windows"])]["p50_ms"]
        for window, row in report["windows"].items():
            p50, floor = row["p50_ms"], row["floor_ms"]
            cells = [f"{p50:.1f}", f"{row['p99_ms']:.1f}", f"{1000 / p50:.1f}", f"{floor:.1f}"]
            table.add_row(str(window), str(row["passes"]), *cells, f"{raster / p50:.2f}x")
        return table


def _time_frames(model: WorldModel, window: int, config: WorldBenchConfig) -> list[float]:
    """Seconds of each frame, after the ring has gone round once."""
    sizes, sampler, b = model.config, SamplerConfig(window=window), config.batch
    generator = torch.Generator(config.device).manual_seed(0)
    cache, n = RingCache.empty(model, b), sizes.rows * sizes.columns
    frame = torch.randint(sizes.codes, (b, n), generator=generator, device=config.device)
    action = torch.zeros(b, len(sizes.actions), dtype=torch.int64, device=config.device)
    known = torch.ones(b, dtype=torch.bool, device=config.device)
    for _ in range(sizes.context):
        write_frame(model, cache, frame, action, known, sampler)
    times = []
    for number in range(config.frames + 5):
        uniform = torch.rand(b, n, generator=generator, device=config.device)
        began = time.perf_counter()
        frame = decode_frame(model, cache, action, uniform, sampler)
        if config.device != "cpu":
            torch.cuda.synchronize()
        if number >= 5:
            times.append(time.perf_counter() - began)
    return times


def _bandwidth(device: str) -> float:
    """Gigabytes a second of reading, best of several passes over 256 MB."""
    data = torch.ones(64_000_000, device=device)
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        data.sum().item()
        best = min(best, time.perf_counter() - began)
    return data.numel() * 4 / 1e9 / best
