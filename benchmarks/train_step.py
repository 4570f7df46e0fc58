"""How long one training step of a policy takes."""

from __future__ import annotations

import statistics as stats
import time
from dataclasses import field
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from playloop.core.annotations import Count
from playloop.core.checked import checked
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


@checked
class TrainStepBench:
    """Forward, backward and AdamW of the policy's network on noise, in bfloat16.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        rows: of a batch.
        repeats: timed steps, after two that warm up.
        policy: sizes of the network.
    """

    rows: Count = 64
    repeats: Count = 10
    policy: VLAConfig = field(default_factory=VLAConfig)

    def run(self) -> dict[str, Any]:
        """Median milliseconds of a step, and rows a second."""
        model = self.policy.make(random_statistics()).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        generator = torch.Generator().manual_seed(0)
        batch, seconds = random_batch(model, self.rows, generator), []
        for _ in range(self.repeats + 2):
            start = time.perf_counter()
            optimizer.zero_grad()
            model.loss(batch, generator)[0].backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
        median = stats.median(seconds[2:])
        parameters = sum(p.numel() for p in model.parameters())
        found = {"ms": 1000 * median, "rows_per_second": self.rows / median, "rows": self.rows}
        return found | {"parameters": parameters, "threads": torch.get_num_threads()}

    @staticmethod
    def table(report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        title = f"a training step, {report['rows']} rows, {report['parameters'] / 1e6:.1f} M parameters"
        table = Table("ms a step", "rows a second", title=title, caption=f"{report['threads']} threads")
        table.add_row(f"{report['ms']:.0f}", f"{report['rows_per_second']:.1f}")
        return table
