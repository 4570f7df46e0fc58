"""MineWorld's frame as the release decodes it and by our session in one run, pixels included."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from playloop.benchmarks.machine import Cost, bandwidth, matrix_rate, name_of, timing, wait
from playloop.benchmarks.plain_world import PlainMineWorld
from playloop.tokenizers.vq import VQConfig, VQTokenizer
from playloop.worlds.mineworld.folder import MineWorldPlay, load_mineworld, minecraft_contract
from playloop.worlds.mineworld.model import PRESETS, MineWorld, MineWorldConfig
from playloop.worlds.mineworld.sampler import MineWorldSampler
from playloop.worlds.mineworld.session import MineWorldSession

SMALL = MineWorldConfig(width=256, layers=4, heads=8, groups=4, hidden=1024)
SMALL_VQ = VQConfig(channels=(32, 32, 64, 64, 128))
"""The published grid, context and vocabulary; what two cores can do in a second."""
MODELS = {"small": SMALL, **PRESETS}
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass
class MineWorldBenchConfig:
    """What is timed: one session, each frame decoded to pixels.

    Args:
        model: "small" or a published size ("300M_16f" and so on) with random weights, or a folder that
            `playloop convert` wrote.
        windows: of our diagonal decoding.
        plain: windows of the release's schedule, decoded as it does: its demo has 4, its command line 2.
        frames: timed for each.
        precision: "bf16", "fp16" or "fp32".
        threads: of PyTorch on the CPU.
        graphs: whether a GPU runs a frame as one CUDA graph.
        device: to run on.
    """

    model: str = "small"
    windows: tuple[int, ...] = (1,)
    plain: tuple[int, ...] = (4, 2)
    frames: int = 16
    precision: str = "bf16"
    threads: int = 2
    graphs: bool = True
    device: str = "cpu"

    def make(self) -> MineWorldBench:
        """The bench; its model is built when it runs."""
        if self.precision not in PRECISIONS:
            raise ValueError(f"mineworld.precision={self.precision!r}: use {', '.join(PRECISIONS)}")
        return MineWorldBench(self)


class MineWorldBench:
    """`run()` gives the numbers, `table(numbers)` shows them."""

    def __init__(self, config: MineWorldBenchConfig):
        self.config, self.dtype = config, PRECISIONS[config.precision]
        self.device = torch.device(config.device)

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Time all ways, one after the other: each has a context of its own."""
        config = self.config
        torch.set_num_threads(config.threads)
        self.world = self._world()
        speed = bandwidth(self.device), matrix_rate(self.dtype, self.device)
        rows = []
        for window in config.plain:
            rows.append(self._row(f"release, {window}", window, self._plain(window)))
        for window in config.windows:
            rows.append(self._row(f"ours, {window}", window, self._ours(window)))
        for row in rows:
            row["floor_ms"] = 1000 * row["passes"] * self._pass().floor(*speed) + row["pixels_ms"]
        numbers = sum(p.numel() for p in self.world.model.parameters()) / 1e6
        return {
            "rows": rows,
            "model": config.model,
            "parameters_m": numbers,
            "precision": config.precision,
            "device": name_of(self.device),
            "gb_per_second": speed[0] / 1e9,
        }

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        title = (
            f"a frame of MineWorld, {report['model']}: {report['parameters_m']:.1f} M, {report['precision']}"
        )
        caption = (
            f"milliseconds; {report['device']}, {report['gb_per_second']:.0f} GB/s measured; floor: weights "
            "and keys once a pass, and the pixels; release: its tokens to these, without pixels"
        )
        table = Table(title=title, caption=caption, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        headings = ("", "passes", "p50", "p99", "fps", "tokens", "pixels", "floor", "to it", "release")
        for heading in headings:
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        first = report["rows"][0]["tokens_ms"]
        for row in report["rows"]:
            p50, floor = row["p50_ms"], row["floor_ms"]
            numbers = [p50, row["p99_ms"], 1000 / p50, row["tokens_ms"], row["pixels_ms"], floor, p50 / floor]
            cells = [row["way"], str(row["passes"]), *(f"{number:.1f}" for number in numbers)]
            table.add_row(*cells, f"{first / row['tokens_ms']:.2f}x")
        return table

    # ------------------------------------------------------------------------------------------------ ways

    def _row(self, name: str, window: int, step: Callable[[], Tensor]) -> dict[str, Any]:
        """Time frames, the context read in again whenever it is full, as in play."""
        frames, pixels = [], []
        for number in range(self.config.frames + 2):
            wait(self.device)
            began = time.perf_counter()
            tokens = step()
            wait(self.device)
            decoded = time.perf_counter()
            self.world.tokenizer.decode(tokens[None].to(self.device)).cpu()
            ended = time.perf_counter()
            if number >= 2:  # the first ones warm up
                frames.append(ended - began)
                pixels.append(ended - decoded)
        times = timing(frames)
        sizes = self.world.model.config
        passes = MineWorldSampler(window=window).schedule(sizes.rows, sizes.columns, 11).forwards
        return {
            "way": name,
            "passes": passes,
            "p50_ms": times.p50,
            "p99_ms": times.p99,
            "tokens_ms": timing([frame - pixel for frame, pixel in zip(frames, pixels, strict=True)]).p50,
            "pixels_ms": timing(pixels).p50,
        }

    def _plain(self, window: int) -> Callable[[], Tensor]:
        plain, generator = (
            PlainMineWorld(self.world.model, window),
            torch.Generator(self.device).manual_seed(0),
        )
        context, frames, action = self.world.model.config.context, self._frames(), self._action()
        held: list[Tensor] = []

        def step() -> Tensor:
            nonlocal held
            if not held or len(held) >= context:
                held = held[-len(frames) :] or list(frames)
                plain.begin(torch.stack(held), action.expand(len(held) - 1, -1))
            held.append(plain.step(action, generator).to(self.device))
            return held[-1]

        return step

    def _ours(self, window: int) -> Callable[[], Tensor]:
        sampler = MineWorldSampler(window=window)
        session = MineWorldSession(self.world, sampler, graphs=self.config.graphs)
        action, rng, count = self._action(), np.random.default_rng(0), self.world.model.config.tokens
        for number, frame in enumerate(self._frames()):
            session.write(frame, action if number else None)
        return lambda: session.step(action, rng.random(count))

    def _frames(self) -> Tensor:
        """As many as stay when a context is full, of noise."""
        sizes, keep = self.world.model.config, MineWorldSampler().keep
        generator = torch.Generator().manual_seed(0)
        return torch.randint(sizes.codes, (keep, sizes.tokens), generator=generator).to(self.device)

    def _action(self) -> Tensor:
        actions = self.world.model.config.actions
        return torch.from_numpy(actions.encode(np.zeros(25, np.float32))).to(self.device)

    def _pass(self) -> Cost:
        """What a pass reads at least: all blocks, the frames' rows of the head, half of a full context."""
        model, sizes = self.world.model, self.world.model.config
        weights = sum(p.numel() for p in model.llama.parameters()) + sizes.codes * sizes.width
        keys = 2 * sizes.layers * sizes.groups * (sizes.width // sizes.heads) * sizes.positions
        return Cost((weights + keys / 2) * self.dtype.itemsize, 2.0 * weights * 9)

    def _world(self) -> MineWorldPlay:
        config = self.config
        if config.model not in MODELS:
            return load_mineworld(Path(config.model), self.device, self.dtype)
        sizes, vq = MODELS[config.model], SMALL_VQ if config.model == "small" else VQConfig()
        model = _random(lambda: MineWorld(sizes), self.device, self.dtype)
        tokenizer = _random(lambda: VQTokenizer(vq), self.device, self.dtype)
        none = torch.zeros(0, 1, sizes.tokens, dtype=torch.int64)
        contract = minecraft_contract(vq)
        return MineWorldPlay(model, tokenizer, contract, none, none[:, :0], "random weights")


def _random(make: Callable[[], Any], device: torch.device, dtype: torch.dtype) -> Any:
    """Random weights, made where they are used."""
    with torch.device("meta"):
        module: nn.Module = make()
    module = module.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, 0.02, generator=generator)
    return module
