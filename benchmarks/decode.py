"""Cached against uncached decoding of the same chunk in one run, beside the floor of the arithmetic."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import torch
from rich.table import Table

from playloop.benchmarks.machine import alternate, matrix_rate, operations
from playloop.core.annotations import Count, DecoderFields
from playloop.core.checked import checked
from playloop.policies.checkpoint import load, noise_observation
from playloop.policies.diffusion import Decoded, draw_noise
from playloop.policies.vla_policy import Inputs, VLAPolicy


@checked
class DecodeBench:
    """A checkpoint's policy decodes one observation of noise in both ways, in turn.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        checkpoint: folder.
        repeats: timed runs of each way.
        decoder: fields of `DecoderConfig` to override.
        device: to run on.
    """

    checkpoint: str
    repeats: Count = 20
    decoder: DecoderFields = field(default_factory=dict)
    device: str = "cpu"

    def run(self) -> dict[str, Any]:
        """Load the checkpoint and time both ways; see `bench_decode`."""
        policy = load(self.checkpoint, decoder=dict(self.decoder), device=self.device)
        return bench_decode(policy, repeats=self.repeats)

    @staticmethod
    def table(report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        table = Table(
            title=f"one chunk, {report['evaluations']} rounds, {report['threads']} threads",
            caption=f"uncached / cached = {report['ratio']:.2f}; same tokens: {report['same_tokens']}",
        )
        for heading in ("", "p50 ms", "p99 ms", "per cached"):
            table.add_column(heading, justify="left" if not heading else "right")
        for name in ("uncached", "cached", "prefix", "floor"):
            ms, slow = report[f"{name}_ms"], report.get(f"{name}_p99_ms")
            cells = [f"{ms:.2f}", "" if slow is None else f"{slow:.2f}"]
            table.add_row(name, *cells, f"{ms / report['cached_ms']:.2f}")
        return table


@torch.inference_mode()
def bench_decode(
    policy: VLAPolicy, observations: list[dict[str, Any]] | None = None, repeats: int = 20
) -> dict[str, Any]:
    """Decode the same chunk both ways, in turn, and compare tokens and time.

    "Cached" encodes the prefix once and computes only the action tokens in a round; "uncached" encodes the
    images once, as published decoders do, and sends prefix and action tokens through the transformer again.
    There is an observation for each row of a network call; noise by default.

    Returns:
        Milliseconds, their ratio, the floor, and whether the tokens are the same.
    """
    if policy.model.config.attention != "prefix":
        raise ValueError("decoding with full attention has no exact cache to compare; use attention=prefix")
    observations = observations or [noise_observation(policy)] * policy.batch
    inputs = policy.inputs(observations)

    def decide(cached: bool) -> Decoded:
        generators = [torch.Generator().manual_seed(row) for row in range(len(observations))]
        noise = draw_noise(generators, policy.decoder, policy.model.length, policy.device)
        return policy.decide(inputs, noise, cached)

    ways = {
        "cached": lambda: decide(cached=True),
        "uncached": lambda: decide(cached=False),
        "prefix": lambda: policy.model.prompt(*inputs, policy.dtype),
    }
    times, results = alternate(ways, repeats, policy.device)
    flops = count_flops(policy, inputs, results["cached"].evaluations)
    rate = matrix_rate(policy.dtype, policy.device)
    report: dict[str, Any] = {f"{name}_ms": time.p50 for name, time in times.items()}
    report |= {f"{name}_p99_ms": time.p99 for name, time in times.items()}
    return report | {
        "ratio": report["uncached_ms"] / report["cached_ms"],
        "same_tokens": torch.equal(results["cached"].tokens, results["uncached"].tokens),
        "evaluations": results["cached"].evaluations,
        "rows": len(observations),
        "gflop": flops / 1e9,
        "gflop_per_second": rate / 1e9,
        "floor_ms": 1000 * flops / rate,
        "threads": torch.get_num_threads(),
        "repeats": repeats,
    }


def count_flops(policy: VLAPolicy, inputs: Inputs, evaluations: int) -> float:
    """Multiplications and additions of the linear and convolution layers: one prefix pass and the rounds."""
    model = policy.model
    prompt = model.prompt(*inputs, policy.dtype)
    blank = torch.full((len(prompt.embeddings), model.length), model.mask_id, device=policy.device)
    once, each = (
        sum(count for product, count in operations(run).items() if product != torch.ops.aten.bmm)
        for run in (lambda: model.prompt(*inputs, policy.dtype), lambda: model.logits(prompt, blank))
    )
    return float(once + evaluations * each)
