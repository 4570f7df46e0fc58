"""A chunk of Discrete Diffusion VLA decoded as released and by our engine in one run, beside the floor."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from playloop.benchmarks.machine import Cost, alternate, bandwidth, matrix_rate, name_of
from playloop.benchmarks.plain_openvla import PlainDecoder
from playloop.nn.decoder import LlamaSizes
from playloop.nn.quantize import Kind, quantize
from playloop.nn.vit import ViTConfig
from playloop.policies.diffusion import RELEASED, DecoderConfig, Noise, draw_noise
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.decoders import Chosen, DecodingConfig
from playloop.policies.openvla.engine import Engine, encode
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
WAYS = ("plain", "full", "block", "one")


@dataclass
class OpenVLABenchConfig:
    """What is timed: one decision from pictures to tokens, one robot a row.

    Args:
        model: "small" or "7b" with random weights, which cost what trained ones do, or a checkpoint's folder.
        ways: "plain" as released: everything again in every round; "full": the same result by our engine;
            "block": block-causal attention, the prefix cached; "one": all tokens in one pass.
        rounds: of the diffusion.
        weights: "int8" or "fp8" times "block" with such weights of the language model, too.
        batch: robots.
        words: tokens of the prompt.
        precision: "bf16" or "fp32".
        repeats: timed runs of each way.
        threads: of PyTorch on the CPU.
        graphs: whether a GPU runs a decision as one CUDA graph.
        device: to run on.
    """

    model: str = "small"
    ways: tuple[str, ...] = WAYS
    rounds: tuple[int, ...] = (12, 4)
    weights: Kind | None = None
    batch: int = 1
    words: int = 30
    precision: str = "bf16"
    repeats: int = 10
    threads: int = 2
    graphs: bool = True
    device: str = "cpu"

    def make(self) -> OpenVLABench:
        """The bench; its model is built when it runs."""
        if unknown := set(self.ways) - set(WAYS):
            raise ValueError(f"openvla.ways={sorted(unknown)}: there are {', '.join(WAYS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"openvla.precision={self.precision!r}: use {' or '.join(PRECISIONS)}")
        return OpenVLABench(self)


@dataclass(frozen=True)
class Way:
    """One way of deciding.

    Args:
        name: for the table.
        run: it.
        evaluations: passes through the language model.
        floor: seconds that it takes at least here.
        cost: what it reads and multiplies.
    """

    name: str
    run: Callable[[], Chosen | Tensor]
    evaluations: int
    floor: float
    cost: Cost


class OpenVLABench:
    """`run()` gives the numbers, `table(numbers)` shows them."""

    def __init__(self, config: OpenVLABenchConfig):
        self.config, self.dtype = config, PRECISIONS[config.precision]
        self.device = torch.device(config.device)

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Time all ways in turn."""
        config = self.config
        torch.set_num_threads(config.threads)
        self.speed = bandwidth(self.device), matrix_rate(self.dtype, self.device)
        self.model = _model(config, self.dtype)
        self.inputs = _inputs(self.model.config, config, self.dtype)
        ways = [way for name in config.ways for way in getattr(self, f"_{name}")()]
        times, results = alternate({way.name: way.run for way in ways}, config.repeats, self.device)
        rows = [
            {
                "way": way.name,
                "evaluations": way.evaluations,
                "p50_ms": times[way.name].p50,
                "p99_ms": times[way.name].p99,
                "gigabytes": way.cost.bytes / 1e9,
                "tera_operations": way.cost.operations / 1e12,
                "floor_ms": 1000 * way.floor,
            }
            for way in ways
        ]
        return {
            "rows": rows,
            "model": config.model,
            "device": name_of(self.device),
            "batch": config.batch,
            "precision": config.precision,
            "gb_per_second": self.speed[0] / 1e9,
            "tflop_per_second": self.speed[1] / 1e12,
            "changed": self._changed(results),
        }

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        title = f"a decision, {report['model']}, {report['batch']} rows, {report['precision']}"
        caption = (
            f"{report['device']}: {report['gb_per_second']:.0f} GB/s and {report['tflop_per_second']:.2f} "
            "Tflop/s measured; floor: what the bytes and operations take at these rates"
        )
        if report["changed"] is not None:
            caption += f"; {report['changed']:.1%} of the tokens changed by {self.config.weights}"
        table = Table(title=title, caption=caption, show_edge=False, pad_edge=False)
        for heading in ("", "passes", "p50 ms", "p99 ms", "GB", "Tflop", "floor", "x floor", "x plain"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        plain = {
            row["evaluations"]: row["p50_ms"] for row in report["rows"] if row["way"].startswith("plain")
        }
        for row in report["rows"]:
            base = plain.get(row["evaluations"])
            table.add_row(
                row["way"],
                str(row["evaluations"]),
                f"{row['p50_ms']:.1f}",
                f"{row['p99_ms']:.1f}",
                f"{row['gigabytes']:.2f}",
                f"{row['tera_operations']:.3f}",
                f"{row['floor_ms']:.1f}",
                f"{row['p50_ms'] / row['floor_ms']:.1f}",
                "" if base is None else f"{base / row['p50_ms']:.2f}",
            )
        return table

    # ------------------------------------------------------------------------------------------------ ways

    def _plain(self) -> list[Way]:
        plain = PlainDecoder(self.model)
        return [
            self._way(f"plain, {rounds}", partial(plain, *self.inputs, rounds), rounds, "full")
            for rounds in self.config.rounds
        ]

    def _full(self) -> list[Way]:
        return self._diffusion("full", self.model)

    def _block(self) -> list[Way]:
        model = _shared(self.model, "block")
        ways = self._diffusion("block", model)
        if self.config.weights:
            small = _shared(self.model, "block")
            small.llama = copy.deepcopy(small.llama)
            quantize(small.llama, self.config.weights)
            ways += self._diffusion(f"block {self.config.weights}", small, 1)
        return ways

    def _one(self) -> list[Way]:
        decoding = DecodingConfig(decoder="parallel").of(self.model.config)
        engine = Engine(self.model, decoding, self.config.graphs)
        noise = self._noise(RELEASED)
        return [self._way("one", partial(engine, *self.inputs, noise), 1, "full")]

    def _diffusion(self, name: str, model: OpenVLA, size: int | None = None) -> list[Way]:
        mode, ways = model.config.attention, []
        for rounds in self.config.rounds:
            decoder = replace(RELEASED, rounds=rounds)
            decoding = DecodingConfig("diffusion", None, decoder).of(model.config)
            engine, noise = Engine(model, decoding, self.config.graphs), self._noise(decoder)
            ways.append(
                self._way(f"{name}, {rounds}", partial(engine, *self.inputs, noise), rounds, mode, size)
            )
        return ways

    def _noise(self, decoder: DecoderConfig) -> Noise:
        generators = [torch.Generator().manual_seed(row) for row in range(self.config.batch)]
        noise = draw_noise(generators, decoder, self.model.config.tokens)
        return Noise(noise.order.to(self.device), noise.token.to(self.device))

    def _changed(self, results: dict[str, Any]) -> float | None:
        """Share of the tokens that eight-bit weights change, of all rounds."""
        kind = self.config.weights
        pairs = [
            (results[f"block, {rounds}"].tokens, results[f"block {kind}, {rounds}"].tokens)
            for rounds in self.config.rounds
            if f"block {kind}, {rounds}" in results
        ]
        if not pairs:
            return None
        return sum(float((a != b).float().mean()) for a, b in pairs) / len(pairs)

    # ------------------------------------------------------------------------------------------------ cost

    def _way(self, name: str, run: Callable[[], Any], rounds: int, mode: str, size: int | None = None) -> Way:
        """With its floor: every pass reads the weights once and multiplies what it must."""
        first, again = self._costs(mode, size)
        passes = [first, *[again] * (rounds - 1)]
        total = passes[0]
        for cost in passes[1:]:
            total = total + cost
        return Way(name, run, rounds, sum(cost.floor(*self.speed) for cost in passes), total)

    def _costs(self, mode: str, size: int | None) -> tuple[Cost, Cost]:
        """Of the first pass, pictures included, and of every other one."""
        model, config, itemsize = self.model, self.model.config, self.dtype.itemsize
        prefix = encode(model, *self.inputs)
        blank = torch.full((len(prefix), config.tokens), config.mask, device=self.device)
        block = model.block(blank).to(prefix.dtype)
        joint = model.layout(prefix, block.shape[1], "full")
        seeing = _operations(lambda: encode(model, *self.inputs))
        whole = _operations(lambda: model(prefix, block, joint))
        stack = sum(p.numel() for p in model.llama.parameters()) * (size or itemsize)
        towers = [*model.towers.parameters(), *model.projector.parameters()]
        eyes = sum(p.numel() for p in towers) * itemsize
        head = config.words * config.llama.width
        ends = Cost(head * itemsize, 2.0 * head * blank.numel())
        first = Cost(eyes + stack, seeing + whole) + ends
        if mode == "full":
            return first, Cost(stack, whole) + ends
        rows, places = block.shape[1] + 1, prefix.shape[1] + block.shape[1]
        sizes = config.llama
        keys = 2 * sizes.layers * places * sizes.groups * sizes.size * itemsize * len(prefix)
        products = 2.0 * sum(p.numel() for p in model.llama.parameters()) * rows * len(prefix)
        products += 4.0 * rows * places * sizes.width * sizes.layers * len(prefix)
        return first, Cost(stack + keys, products) + ends


def _model(config: OpenVLABenchConfig, dtype: torch.dtype) -> OpenVLA:
    """A checkpoint, or random weights of its size made where they are used."""
    if config.model not in MODELS:
        return read_openvla(Path(config.model), torch.device(config.device), dtype).eval()
    with torch.device("meta"):
        model = OpenVLA(MODELS[config.model])
    model = model.to(dtype).to_empty(device=config.device).eval().requires_grad_(False)
    generator = torch.Generator(config.device).manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, 0.02, generator=generator)
    return model


def _shared(model: OpenVLA, attention: str) -> OpenVLA:
    """The same weights, trained for another attention as it were."""
    with torch.device("meta"):
        other = OpenVLA(replace(model.config, attention=attention))  # type: ignore[arg-type]
    for name, child in model.named_children():
        setattr(other, name, child)
    return other.eval()


def _inputs(
    sizes: OpenVLAConfig, config: OpenVLABenchConfig, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Noise to look at, a state, and a prompt of the usual length."""
    generator = torch.Generator().manual_seed(0)
    shape = config.batch, sizes.images, sizes.channels, sizes.image, sizes.image
    pictures = torch.randn(shape, generator=generator)
    prompt = torch.randint(100, 30000, (config.batch, config.words), generator=generator)
    prompt[:, 0] = sizes.bos
    state = None if sizes.proprio is None else torch.zeros(config.batch, sizes.proprio)
    where = config.device
    return (
        pictures.to(where, dtype),
        None if state is None else state.to(where, dtype),
        prompt.to(where),
    )


def _operations(run: Callable[[], Any]) -> float:
    """Multiplications and additions of products, counted while it runs."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
