"""MineWorld's frame as the release decodes it and by our session in one run, for one player and several."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import MinLen
from rich.table import Table
from torch import Tensor

from playloop.benchmarks.machine import Cost, measured, rates, short, table_of, timing, wait
from playloop.benchmarks.models import random_model, variant
from playloop.benchmarks.plain_world import PlainMineWorld
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.nn.decoder import Kernels
from playloop.nn.graphs import Captured
from playloop.nn.quantize import Kind
from playloop.tokenizers.vq import VQConfig, VQTokenizer
from playloop.worlds.mineworld.clip import clip_schedule
from playloop.worlds.mineworld.folder import MineWorldPlay, minecraft_contract
from playloop.worlds.mineworld.model import PRESETS, MineWorld, MineWorldConfig
from playloop.worlds.open import opener
from playloop.worlds.sampler import SamplerConfig

SMALL = MineWorldConfig(width=256, layers=4, heads=8, groups=4, hidden=1024)
SMALL_VQ = VQConfig(channels=(32, 32, 64, 64, 128))
"""The published grid, context and vocabulary; what two cores can do in a second."""
MODELS = {"small": SMALL, **PRESETS}
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass
class Way:
    """One way to make a frame.

    Args:
        name: for the table.
        window: of decoding.
        step: the next frame's tokens of all players, [players, N].
        decode: tokens → pictures.
        model: that `step` runs.
        kernels: by which.
        weights: in which its blocks' weights are, None as they came.
        players: of a step.
        tokens: seconds of the steps.
        pixels: seconds of the pictures.
    """

    name: str
    window: int
    step: Callable[[], Tensor]
    decode: Callable[[Tensor], Tensor]
    model: MineWorld
    kernels: Kernels = "torch"
    weights: Kind | None = None
    players: int = 1
    tokens: list[float] = field(default_factory=list)
    pixels: list[float] = field(default_factory=list)


@checked
class MineWorldBench:
    """Frames decoded to pixels, of one player and of several in one batch, in turn in all ways.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        model: "small" or a published size ("300M_16f" and so on) with random weights, or a folder that
            `playloop convert` wrote.
        windows: of our diagonal decoding.
        plain: windows of the release's schedule, decoded as it does: its demo has 4, its command line 2.
        players: of the batch that is timed beside one player; 1 leaves it out.
        kernels: by which ours is timed: "torch", on a GPU "triton", too.
        weights: "int8" or "fp8" times ours with such weights of the blocks, too.
        frames: timed for each.
        precision: "bf16", "fp16" or "fp32".
        threads: of PyTorch on the CPU.
        graphs: whether a GPU runs a frame as one CUDA graph.
        device: to run on.
    """

    model: str | None = "small"
    windows: tuple[Count, ...] = (1,)
    plain: tuple[Count, ...] = (4, 2)
    players: Count = 1
    kernels: Annotated[tuple[Kernels, ...], MinLen(1)] = ("torch",)
    weights: Kind | None = None
    frames: Count = 16
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    threads: Count = 2
    graphs: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.windows + self.plain:
            raise ValueError("mineworld.windows and mineworld.plain are both empty; name a window of either")
        self.dtype = PRECISIONS[self.precision]

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Time all ways in turn, so that a disturbance of the machine meets all of them."""
        torch.set_num_threads(self.threads)
        self.world = self._world()
        self._check()
        speed = rates(self.dtype, self.device, self.weights)
        ways = [self._plain(window) for window in self.plain] + list(self._ours(self.world))
        small = None
        if self.weights is not None:
            small = copy.copy(self.world)
            small.model = variant(self.world.model, self.dtype, self.weights)
            ways += self._ours(small, self.weights)
        for number in range(self.frames + 2):
            for way in ways:
                self._time(way, number >= 2)  # the first ones warm up
        rows = [self._row(way) for way in ways]
        for row in rows:
            size = 1 if row["weights"] else self.dtype.itemsize
            passes = [self._pass(queries, row["players"], size) for queries in row.pop("queries")]
            row["floor_ms"] = 1000 * sum(cost.floor(*speed) for cost in passes) + row["pixels_ms"]
            row["gigabytes"] = sum(cost.bytes for cost in passes) / 1e9
            row["tera_operations"] = sum(cost.operations for cost in passes) / 1e12
        numbers = sum(p.numel() for p in self.world.model.parameters()) / 1e6
        return {
            "rows": rows,
            "model": self.model,
            "parameters_m": numbers,
            "precision": self.precision,
            **measured(speed, self.device, self.weights),
            "changed": None if small is None else self._changed(small),
        }

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        title = (
            f"a frame of MineWorld, {report['model']}: {report['parameters_m']:.1f} M, {report['precision']}"
        )
        caption = (
            "n: passes; ids, GB, GF (Gflop): of the tokens; px: of the pixels; floor: weights and keys once "
            "a pass, and the pixels; x: p50 to it; plain: the release's ids to these"
        ) + "".join([*_together(report["rows"]), *_changed_words(report)])
        headings = ("", "n", "p50", "p99", "fps", "ids", "px", "GB", "GF", "floor", "x", "plain")
        table = table_of(report, title, caption, headings)
        first = report["rows"][0]["tokens_ms"]
        for row in report["rows"]:
            p50, floor = row["p50_ms"], row["floor_ms"]
            numbers = [p50, row["p99_ms"], row["fps"], row["tokens_ms"], row["pixels_ms"]]
            cells = [row["way"], str(row["passes"]), *(short(number) for number in numbers)]
            cells += [
                f"{row['gigabytes']:.2f}",
                short(1000 * row["tera_operations"]),
                short(floor),
                short(p50 / floor),
            ]
            table.add_row(*cells, f"{row['players'] * first / row['tokens_ms']:.1f}x")
        return table

    # ------------------------------------------------------------------------------------------------ ways

    def _ours(self, world: MineWorldPlay, weights: Kind | None = None) -> Iterator[Way]:
        """By all kernels and windows, of one player and of several."""
        for number, kernels in enumerate(self.kernels):
            words = " ".join(["ours", *([weights] if weights else []), *([kernels] if number else [])])
            for window in self.windows:
                for count in dict.fromkeys((1, self.players)):
                    name = f"{words}, {window}" if count == 1 else f"{count} x {words}, {window}"
                    step = self._players(world, window, count)
                    yield Way(name, window, step, self._decoder(), world.model, kernels, weights, count)

    def _decoder(self) -> Callable[[Tensor], Tensor]:
        return Captured(self.world.tokenizer.decode, self.graphs)

    def _time(self, way: Way, counts: bool) -> None:
        """One step of all players; contexts are read in again whenever they are full, as in play."""
        way.model.llama.choose_kernels(way.kernels, self.dtype)
        wait(self.device)
        began = time.perf_counter()
        tokens = way.step()
        wait(self.device)
        decoded = time.perf_counter()
        way.decode(tokens.to(self.device)).cpu()
        ended = time.perf_counter()
        way.model.llama.choose_kernels("torch", self.dtype)
        if counts:
            way.tokens.append(decoded - began)
            way.pixels.append(ended - decoded)

    def _row(self, way: Way) -> dict[str, Any]:
        times = timing([sum(pair) for pair in zip(way.tokens, way.pixels, strict=True)])
        queries = self._queries(way.window)
        return {
            "way": way.name,
            "players": way.players,
            "weights": way.weights,
            "passes": len(queries),
            "queries": queries,
            "fps": 1000 / times.p50,
            "fps_all": way.players * 1000 / times.p50,
            "p50_ms": times.p50,
            "p99_ms": times.p99,
            "tokens_ms": timing(way.tokens).p50,
            "pixels_ms": timing(way.pixels).p50,
        }

    def _plain(self, window: int) -> Way:
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
            return held[-1][None]

        return Way(f"release, {window}", window, step, self._decoder(), self.world.model)

    def _players(self, world: MineWorldPlay, window: int, count: int) -> Callable[[], Tensor]:
        """A step of players whose contexts are of several lengths: they fill up one after another."""
        kernels = world.model.llama.kernels
        players = world.players(SamplerConfig(window=window), count, kernels, self.graphs)
        action, rng, frames = self._action(), np.random.default_rng(0), self._frames()
        for player in range(count):
            for number, frame in enumerate(frames[player % len(frames) :]):
                players.write(player, frame, action if number else None)
        actions, shape = dict.fromkeys(range(count), action), (count, self.world.model.config.tokens)

        def step() -> Tensor:
            found = players.step(actions, dict(enumerate(rng.random(shape))))
            return torch.stack([found[player] for player in range(count)])

        return step

    def _frames(self) -> Tensor:
        """As many as stay when a context is full, of noise."""
        return self._noise(min(SamplerConfig().keep, self.world.seen))

    def _noise(self, frames: int) -> Tensor:
        sizes, generator = self.world.model.config, torch.Generator().manual_seed(0)
        return torch.randint(sizes.codes, (frames, sizes.tokens), generator=generator).to(self.device)

    def _action(self) -> Tensor:
        actions = self.world.model.config.actions
        return torch.from_numpy(actions.encode(np.zeros(25, np.float32))).to(self.device)

    def _queries(self, window: int) -> list[int]:
        """Tokens that each pass of a frame feeds or asks with."""
        sizes = self.world.model.config
        first, *others = sizes.schedule(SamplerConfig(window=window)).steps
        assert not first.fed, "the first pass feeds the last token of the frame before, and the action"
        return [1 + sizes.actions.length, *(len(step.fed) + len(step.starts) for step in others)]

    def _pass(self, queries: int, players: int, size: int) -> Cost:
        """What a pass reads at least: all blocks, the frames' rows of the head, half a full context each.

        Args:
            queries: of a player.
            players: of the batch.
            size: of a weight of the blocks in bytes.
        """
        model, sizes = self.world.model, self.world.model.config
        blocks, head = sum(p.numel() for p in model.llama.parameters()), sizes.codes * sizes.width
        keys = 2 * sizes.layers * sizes.groups * (sizes.width // sizes.heads) * sizes.positions
        read = blocks * size + (head + players * keys / 2) * self.dtype.itemsize
        fed = 2.0 * queries * players
        return Cost(read, fed * (blocks + head), fed * blocks if size == 1 else 0.0)

    def _changed(self, small: MineWorldPlay) -> dict[str, float]:
        """What eight bits change in the prediction of frames, given the truth before each token."""
        sizes, sampler = self.world.model.config, self.world.resolved(SamplerConfig())
        frames, actions = self._clip()
        schedule = sizes.schedule(sampler)
        exact, found = (
            world.model(frames, actions, schedule, sampler.source) for world in (self.world, small)
        )
        counted = clip_schedule(schedule, frames.shape[1], asks=True).counted.to(frames.device)
        ids = (self.world.model.sequence(frames, actions)[:, 1:] < sizes.codes) & counted
        one, other = (logits[ids][:, : sizes.codes].float().log_softmax(-1) for logits in (exact, found))
        return {
            "likeliest": float((one.argmax(-1) != other.argmax(-1)).float().mean()),
            "nats": float((one.exp() * (one - other)).sum(-1).mean()),
        }

    def _clip(self) -> tuple[Tensor, Tensor]:
        """The model's first beginning, int64 [1, T, N] and [1, T - 1, A]; noise where that has no past."""
        starts = self.world.starts[:1], self.world.start_actions[:1]
        if starts[1].numel():
            return starts
        count = min(SamplerConfig().keep, self.world.model.config.context)
        return self._noise(count)[None], self._action().expand(1, count - 1, -1)

    def _check(self) -> None:
        """Refuse what some row could not do, before the first is timed."""
        for window in (*self.plain, *self.windows):
            SamplerConfig(window=window).check_any_window(self.world.model.config.columns)
        for kernels in (*self.kernels, "torch"):  # these stay
            self.world.model.llama.choose_kernels(kernels, self.dtype)

    def _world(self) -> MineWorldPlay:
        name = str(self.model)
        if name not in MODELS:
            opener(name)  # of a published checkpoint it says what to do
            return MineWorldPlay.load(Path(name), self.device, self.dtype)
        sizes, vq = MODELS[name], SMALL_VQ if name == "small" else VQConfig()
        model = random_model(lambda: MineWorld(sizes), self.device, self.dtype)
        tokenizer = random_model(lambda: VQTokenizer(vq), self.device, self.dtype)
        none = torch.zeros(0, 1, sizes.tokens, dtype=torch.int64)
        contract = minecraft_contract(vq)
        return MineWorldPlay(model, tokenizer, contract, none, none[:, :0], "random weights")


def _together(rows: list[dict[str, Any]]) -> list[str]:
    """What several players get of a batch, beside one alone."""
    alone = {row["way"]: row["fps"] for row in rows}
    return [
        f"; {row['way']}: {row['fps']:.2f} frames/s for each of {row['players']} players, "
        f"{row['fps_all']:.2f} for all, {alone[row['way'].split(' x ')[1]]:.2f} for one alone"
        for row in rows
        if row["players"] > 1
    ]


def _changed_words(report: dict[str, Any]) -> Iterator[str]:
    """What eight bits change, in words."""
    if changed := report["changed"]:
        yield (
            f"; in eight bits {changed['likeliest']:.1%} of the tokens have another likeliest id, and the "
            f"predictions lie {changed['nats']:.2g} nats apart"
        )
