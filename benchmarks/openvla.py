"""A chunk of Discrete Diffusion VLA decoded as released and by our engine in one run, beside the floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
from annotated_types import MinLen
from rich.table import Table
from torch import Tensor, nn

from playloop.benchmarks.machine import Cost, alternate, measured, operations, rates, short, table_of
from playloop.benchmarks.models import random_model, variant
from playloop.benchmarks.plain_openvla import PlainDecoder
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.nn.decoder import Kernels
from playloop.nn.llama import LlamaSizes
from playloop.nn.quantize import Kind
from playloop.nn.vit import ViTConfig
from playloop.policies.diffusion import RELEASED, Decoded, DecoderConfig, Noise, active_rounds, draw_noise
from playloop.policies.openvla.attention import Mode
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.decoders import DecodingConfig, Engine
from playloop.policies.openvla.files import read_openvla
from playloop.policies.openvla.model import OpenVLA

LIBERO: dict[str, Any] = {"images": 2, "proprio": 8, "chunk": 8, "decoders": ("diffusion", "parallel")}
SMALL = OpenVLAConfig(
    towers=(
        ViTConfig(192, 7, 3, 768, cls=True, registers=4, layer_scale=True),
        ViTConfig(192, 7, 3, 768),
    ),
    llama=LlamaSizes(width=512, layers=8, heads=8, groups=8, hidden=1408),
    attention="full",
    **LIBERO,
)
"""The published sequence and vocabulary, 8 layers of 512: what two cores can do in a second."""
FULL = OpenVLAConfig(attention="full", **LIBERO)
MODELS = {"small": SMALL, "7b": FULL}
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
WayName = Literal["plain", "full", "reuse", "block", "one"]
REUSE = 3
"""Rounds after a whole one."""


@dataclass(frozen=True)
class Way:
    """One way of deciding.

    Args:
        name: for the table.
        run: it.
        rounds: as requested; the plain way of as many is what it is compared to.
        evaluations: passes through the language model.
        floor: seconds that it takes at least here.
        cost: what it reads and multiplies.
        exact: name of the way that it would give the tokens of, were it exact.
    """

    name: str
    run: Callable[[], Decoded | Tensor]
    rounds: int
    evaluations: int
    floor: float
    cost: Cost
    exact: str | None = None


@checked
class OpenVLABench:
    """One decision from pictures to tokens, one robot a row, in turn in all ways.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        model: "small" or "7b" with random weights, which cost what trained ones do, or a checkpoint's folder.
        ways: "plain" as released: everything again in every round; "full": the same result by our engine;
            "reuse": nearly the same, the prefix computed in every fourth round only; "block": block-causal
            attention, the prefix cached; "one": all tokens in one pass.
        rounds: of the diffusion. Ours leave out those in which the schedule commits nothing.
        weights: "int8" or "fp8" times "block" with such weights of the language model, too.
        kernels: by which "reuse" and "block" are timed: "torch", on a GPU "triton", too.
        batch: robots.
        words: tokens of the prompt.
        precision: "bf16" or "fp32".
        repeats: timed runs of each way.
        threads: of PyTorch on the CPU.
        graphs: whether a GPU runs a decision as one CUDA graph.
        device: to run on.
    """

    model: str | None = "small"
    ways: Annotated[tuple[WayName, ...], MinLen(1)] = get_args(WayName)
    rounds: tuple[Count, ...] = (12, 4)
    weights: Kind | None = None
    kernels: Annotated[tuple[Kernels, ...], MinLen(1)] = ("torch",)
    batch: Count = 1
    words: Count = 30
    precision: Literal["bf16", "fp32"] = "bf16"
    repeats: Count = 10
    threads: Count = 2
    graphs: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.rounds and set(self.ways) != {"one"}:
            raise ValueError("openvla.rounds is empty; name a number of rounds, or take openvla.ways=[one]")
        self.dtype = PRECISIONS[self.precision]

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Time all ways in turn."""
        torch.set_num_threads(self.threads)
        self.speed = rates(self.dtype, self.device, self.weights)
        self.network = self._network()
        self.inputs = self._inputs()
        ways = [way for name in self.ways for way in getattr(self, f"_{name}")()]
        times, results = alternate({way.name: way.run for way in ways}, self.repeats, self.device)
        rows = [
            {
                "way": way.name,
                "rounds": way.rounds,
                "evaluations": way.evaluations,
                "p50_ms": times[way.name].p50,
                "p99_ms": times[way.name].p99,
                "gigabytes": way.cost.bytes / 1e9,
                "tera_operations": way.cost.operations / 1e12,
                "floor_ms": 1000 * way.floor,
                "changed": None if way.exact is None else _changed(results[way.name], results[way.exact]),
            }
            for way in ways
        ]
        return {
            "rows": rows,
            "model": self.model,
            "batch": self.batch,
            "precision": self.precision,
            **measured(self.speed, self.device, self.weights),
        }

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        title = f"a decision, {report['model']}, {report['batch']} rows, {report['precision']}"
        caption = (
            "floor: what the bytes and operations take at these rates; plain: its time to this; changed: "
            "tokens that are not the exact way's, which says nothing of random weights"
        )
        headings = ("", "passes", "p50", "p99", "GB", "Tflop", "floor", "to it", "plain", "changed")
        table = table_of(report, title, caption, headings)
        plain = {row["rounds"]: row["p50_ms"] for row in report["rows"] if row["way"].startswith("plain")}
        for row in report["rows"]:
            base = plain.get(row["rounds"])
            p50, floor = row["p50_ms"], row["floor_ms"]
            cells = [str(row["evaluations"]), *(short(value) for value in (p50, row["p99_ms"]))]
            cells += [f"{row['gigabytes']:.2f}", f"{row['tera_operations']:.3f}", short(floor)]
            cells += [f"{p50 / floor:.1f}", "" if base is None else f"{base / p50:.2f}x"]
            table.add_row(row["way"], *cells, "" if row["changed"] is None else f"{row['changed']:.0%}")
        return table

    def _network(self) -> OpenVLA:
        """A checkpoint, timed in every way whatever it was trained for, or random weights of a size."""
        name = str(self.model)
        if name in MODELS:
            return random_model(lambda: OpenVLA(MODELS[name]), self.device, self.dtype)
        model = read_openvla(Path(name), torch.device(self.device), self.dtype).eval()
        model.config = replace(model.config, attention="full", decoders=LIBERO["decoders"])
        return model

    def _inputs(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """Noise to look at, a state, and a prompt of the usual length."""
        sizes, generator = self.network.config, torch.Generator().manual_seed(0)
        shape = self.batch, sizes.images, sizes.channels, sizes.image, sizes.image
        pictures = torch.randn(shape, generator=generator).to(self.device, self.dtype)
        prompt = torch.randint(100, 30000, (self.batch, self.words), generator=generator)
        prompt[:, 0] = sizes.bos
        state = None
        if sizes.proprio is not None:
            state = torch.zeros(self.batch, sizes.proprio, device=self.device, dtype=self.dtype)
        return pictures, state, prompt.to(self.device)

    # ------------------------------------------------------------------------------------------------ ways

    def _plain(self) -> list[Way]:
        plain = PlainDecoder(self.network)
        return [
            self._way(f"plain, {rounds}", partial(plain, *self.inputs, rounds), rounds, rounds, rounds)
            for rounds in self.rounds
        ]

    def _full(self) -> list[Way]:
        return self._diffusion("full", self.network)

    def _reuse(self) -> list[Way]:
        return self._cached("reuse", "full", None)

    def _block(self) -> list[Way]:
        ways = self._cached("block", "block", None)
        return ways + (self._cached("block", "block", self.weights) if self.weights else [])

    def _cached(self, name: str, attention: Mode, weights: Kind | None) -> list[Way]:
        """By all kernels; the first ones, with the weights as they are, are the exact way of "block"."""
        ways = []
        for number, kernels in enumerate(self.kernels):
            model = variant(self.network, self.dtype, weights, kernels)
            model.config = replace(model.config, attention=attention)  # as if trained for it
            words = [name, *([weights] if weights else []), *([kernels] if number else [])]
            exact = "full" if name == "reuse" else "block" if len(words) > 1 else None
            ways += self._diffusion(" ".join(words), model, weights, exact)
        return ways

    def _one(self) -> list[Way]:
        decoding = DecodingConfig(decoder="parallel").of(self.network.config)
        engine = Engine(self.network, decoding, self.graphs)
        noise = self._noise(RELEASED)
        return [self._way("one", partial(engine, *self.inputs, noise), 1, 1, 1)]

    def _diffusion(
        self, name: str, model: OpenVLA, weights: Kind | None = None, exact: str | None = None
    ) -> list[Way]:
        ways, reuse = [], REUSE if name.startswith("reuse") else 0
        for rounds in self.rounds:
            decoder = replace(RELEASED, rounds=rounds)
            decoding = DecodingConfig("diffusion", None, decoder, reuse).of(model.config)
            engine, noise = Engine(model, decoding, self.graphs), self._noise(decoder)
            active = len(active_rounds(decoder, model.config.tokens))
            whole = -(-active // (reuse + 1)) if model.config.attention == "full" else 1
            run = partial(engine, *self.inputs, noise)
            way = self._way(f"{name}, {rounds}", run, rounds, active, whole, weights)
            known = exact in self.ways
            ways.append(replace(way, exact=f"{exact}, {rounds}" if known else None))
        return ways

    def _noise(self, decoder: DecoderConfig) -> Noise:
        generators = [torch.Generator().manual_seed(row) for row in range(self.batch)]
        return draw_noise(generators, decoder, self.network.config.tokens, self.device)

    # ------------------------------------------------------------------------------------------------ cost

    def _way(
        self,
        name: str,
        run: Callable[[], Any],
        rounds: int,
        evaluations: int,
        whole: int,
        weights: Kind | None = None,
    ) -> Way:
        """With its floor: every pass reads the weights once and multiplies what it must.

        Of the evaluations so many are over the whole of prefix and block, the others over the block alone.
        """
        first, joint, cached = self._costs(weights)
        passes = [first, *[joint] * (whole - 1), *[cached] * (evaluations - whole)]
        floor = sum(cost.floor(*self.speed) for cost in passes)
        return Way(name, run, rounds, evaluations, floor, sum(passes, Cost(0, 0)))

    def _costs(self, weights: Kind | None) -> tuple[Cost, Cost, Cost]:
        """The cost of the first pass, pictures included, of another whole one, and of one over a cache."""
        model, config, itemsize = self.network, self.network.config, self.dtype.itemsize
        prefix = model.encode(*self.inputs)
        blank = torch.full((len(prefix), config.tokens), config.mask, device=self.device)
        block = model.block(blank).to(prefix.dtype)
        layout = model.layout(prefix, block.shape[1], "full")
        seeing = sum(operations(lambda: model.encode(*self.inputs)).values())
        counted = operations(lambda: model(prefix, block, layout))
        whole, linear = sum(counted.values()), counted[torch.ops.aten.mm]
        numbers, share = _numbers(model.llama), 1.0 if weights else 0.0
        stack = numbers * (1 if weights else itemsize)
        eyes = sum(_numbers(m) for m in (model.towers, model.films, model.projector, model.proprio))
        head = config.words * config.llama.width
        ends = Cost(head * itemsize, 2.0 * head * blank.numel())
        rows, slots = block.shape[1] + 1, prefix.shape[1] + block.shape[1]
        sizes = config.llama
        keys = 2 * sizes.layers * slots * sizes.groups * sizes.size * itemsize * len(prefix)
        products = 2.0 * numbers * rows * len(prefix)
        attention = 4.0 * rows * slots * sizes.width * sizes.layers * len(prefix)
        joint = Cost(stack, whole, share * linear) + ends
        cached = Cost(stack + keys, products + attention, share * products) + ends
        return Cost(eyes * itemsize, seeing) + joint, joint, cached


def _changed(found: Decoded, exact: Decoded) -> float:
    """Share of the tokens that differ."""
    assert found.tokens is not None and exact.tokens is not None
    return float((found.tokens != exact.tokens).float().mean())


def _numbers(module: nn.Module | None) -> int:
    """How many a part of the model has."""
    return 0 if module is None else sum(p.numel() for p in module.parameters())
