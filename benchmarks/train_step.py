"""How many samples a second one training step takes: `python -m playloop.benchmarks.train_step`."""

from __future__ import annotations

import argparse
import json
import statistics as stats
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.policies.vla import VLA, VLAConfig
from playloop.tokenizers.normalizer import compute_statistics


def random_statistics(state_size: int = 8, action_size: int = 7) -> dict[str, Any]:
    """Statistics of uniform numbers, for a model that is only timed or tested."""
    rng = np.random.default_rng(0)
    return compute_statistics(rng.uniform(-1, 1, (1000, action_size)), rng.uniform(-1, 1, (1000, state_size)))


def random_batch(model: VLA, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A batch of noise in the form that `VLA.loss` reads."""
    config, sides = model.config, model.config.image_sides
    actions = torch.rand(rows, config.chunk, model.tokenizer.normalizer.size, generator=generator) * 2 - 1
    actions[..., -1] = torch.where(actions[..., -1] > 0, 1.0, -1.0)
    batch = {
        f"images.{name}": torch.randint(0, 256, (rows, *sides, 3), generator=generator, dtype=torch.uint8)
        for name in config.cameras
    }
    batch["state"] = torch.rand(rows, model.state.size, generator=generator)
    batch["instruction"] = torch.randn(rows, config.instruction_size, generator=generator)
    batch["target"] = torch.rand(rows, config.target_size, generator=generator)
    return batch | {"actions": actions}


def bench_train_step(config: VLAConfig, rows: int = 64, repeats: int = 10) -> dict[str, float]:
    """Median milliseconds of forward, backward and AdamW, in bfloat16, after two steps of warming up."""
    model = config.make(random_statistics()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    batch = random_batch(model, rows, generator)
    seconds = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        model.loss(batch, generator)[0].backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    median = stats.median(seconds[2:])
    parameters = sum(p.numel() for p in model.parameters())
    return {"ms": 1000 * median, "samples_per_second": rows / median, "rows": rows, "parameters": parameters}


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    print(json.dumps(bench_train_step(VLAConfig(), arguments.rows, arguments.repeats)))


if __name__ == "__main__":
    main()
