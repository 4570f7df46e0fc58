"""A world model's frame decoded in raster order and diagonally in one run, beside the floor of the memory."""

from __future__ import annotations

import time
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import MinLen
from rich.table import Table

from playloop.benchmarks.machine import bandwidth
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.worlds.checkpoint import World
from playloop.worlds.model import WorldConfig, WorldModel
from playloop.worlds.sampler import SamplerConfig

WARM_UP = 3
"""Frames that are not timed, after the context is full."""


@checked
class WorldBench:
    """One session, each frame decoded to pixels.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        checkpoint: folder of a trained world model; None for new weights, which cost what trained ones do.
        model: sizes where there is no checkpoint; every one of its windows is timed.
        backends: "kernels" (numba, one core), "torch".
        frames: timed for each window.
        threads: of PyTorch.
        precision: of the PyTorch back end, "bf16" or "fp32".
        device: of the PyTorch back end.
    """

    checkpoint: str | None = None
    model: WorldConfig = field(default_factory=WorldConfig)
    backends: Annotated[tuple[Literal["kernels", "torch"], ...], MinLen(1)] = ("kernels", "torch")
    frames: Count = 60
    threads: Count = 2
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "cpu"

    def run(self) -> dict[str, Any]:
        """Milliseconds a frame of each back end and window, and the floor of reading weights once a pass."""
        torch.set_num_threads(self.threads)
        rows, sizes = [], self._world("cpu", torch.float32).model
        speed = bandwidth(self.device) / 1e9
        for backend in self.backends:
            for window, schedule in sorted(sizes.schedules.items()):
                times = self._time(backend, window)
                floor = schedule.forwards * self._gigabytes(sizes, backend) / speed
                rows.append(
                    {
                        "backend": backend,
                        "window": window,
                        "passes": schedule.forwards,
                        "p50_ms": 1000 * float(np.median(times["frame"])),
                        "p99_ms": 1000 * float(np.quantile(times["frame"], 0.99)),
                        "pixels_ms": 1000 * float(np.median(times["pixels"])),
                        "floor_ms": 1000 * floor,
                    }
                )
        parameters = sum(p.numel() for p in sizes.parameters()) / 1e6
        tokens = [sizes.config.rows, sizes.config.columns]
        return {"rows": rows, "parameters_m": parameters, "tokens": tokens, "gb_per_second": speed}

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        grid = " x ".join(map(str, report["tokens"]))
        title = f"a frame of {grid} tokens, {report['parameters_m']:.1f} M parameters, pixels included"
        caption = (
            f"kernels: int8 weights, 1 core; torch: {self.precision}, {self.threads} threads; "
            f"pixels: ms of p50; floor: ms, weights once a pass at {report['gb_per_second']:.0f} GB/s"
        )
        table = Table(title=title, caption=caption, show_edge=False, pad_edge=False)
        for heading in ("", "window", "passes", "p50 ms", "p99 ms", "fps", "pixels", "floor", "to raster"):
            table.add_column(heading, justify="right", no_wrap=True)
        rasters = {row["backend"]: row["p50_ms"] for row in report["rows"]}  # the widest window comes last
        for row in report["rows"]:
            p50 = row["p50_ms"]
            numbers = [p50, row["p99_ms"], 1000 / p50, row["pixels_ms"], row["floor_ms"]]
            cells = [row["backend"], str(row["window"]), str(row["passes"]), *(f"{n:.1f}" for n in numbers)]
            table.add_row(*cells, f"{rasters[row['backend']] / p50:.2f}x")
        return table

    def _world(self, device: str, dtype: torch.dtype) -> World:
        if self.checkpoint:
            return World.load(Path(self.checkpoint), device, dtype)
        sizes = self.model
        tokenizer = FrameTokenizerConfig(8 * sizes.rows, 8 * sizes.columns).make().to(device, dtype)
        contract = Contract("none", "none", (), 20.0, {}, "none", (), "none")
        model = sizes.make().eval().to(device, dtype)
        n, groups = tokenizer.tokens, len(sizes.actions)
        return World(
            model,
            tokenizer,
            contract,
            torch.zeros(1, 1, n, dtype=torch.int64, device=device),
            torch.zeros(1, 0, groups, dtype=torch.int64, device=device),
            "new weights",
        )

    def _time(self, backend: str, window: int) -> dict[str, list[float]]:
        """Seconds of each frame after the ring has gone round once: the whole, and the pixels' part."""
        dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[self.precision]
        world = self._world("cpu", torch.float32) if backend == "kernels" else self._world(self.device, dtype)
        players = world.players(SamplerConfig(window=window), 1, backend)
        sizes, rng = world.model.config, np.random.default_rng(0)
        action = torch.zeros(len(sizes.actions), dtype=torch.int64)
        frame = torch.from_numpy(rng.integers(0, sizes.codes, world.tokenizer.tokens))
        for number in range(sizes.context):
            players.write(0, frame, action if number else None)
        times: dict[str, list[float]] = {"frame": [], "pixels": []}
        for _ in range(self.frames + WARM_UP):
            began = time.perf_counter()
            tokens = players.step({0: action}, {0: rng.random(world.tokenizer.tokens)})[0]
            decoded = time.perf_counter()
            world.tokenizer.decode(tokens[None]).cpu()  # waits for a GPU
            ended = time.perf_counter()
            times["frame"].append(ended - began)
            times["pixels"].append(ended - decoded)
        return {name: values[WARM_UP:] for name, values in times.items()}

    def _gigabytes(self, model: WorldModel, backend: str) -> float:
        """What a pass has to read of the weights."""
        numbers = sum(p.numel() for p in [*model.blocks.parameters(), model.head.weight])
        size = 1 if backend == "kernels" else {"bf16": 2, "fp32": 4}[self.precision]
        return numbers * size / 1e9
