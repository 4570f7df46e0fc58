"""A task small enough to train in a test: a noisy linear map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from playloop.training.task import Share


@dataclass
class RegressionConfig:
    die_at: int | None = None

    def make(self) -> Regression:
        return Regression(self)


class Regression:
    def __init__(self, config: RegressionConfig):
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(512, 8, generator=generator)
        self.outputs = self.inputs @ torch.randn(8, 3, generator=generator)
        self.model: nn.Module = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
        )
        for parameter in self.model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
        self.die_at = config.die_at
        self.saved: list[Path] = []

    def prepare(self, device, dtype):
        self.model.to(device)
        self.dtype = dtype

    def describe(self):
        return {"name": "regression"}

    def batch(self, split, step, generator, share: Share):
        if split == "train" and step == self.die_at:
            raise KeyboardInterrupt
        limits = (0, 448) if split == "train" else (448, 512)
        rows = share.of(torch.randint(*limits, (share.size,), generator=generator))
        return {"inputs": self.inputs[rows], "outputs": self.outputs[rows]}

    def loss(self, batch, generator):
        noise = 0.01 * torch.randn(batch["inputs"].shape, generator=generator)
        error = (self.model(batch["inputs"] + noise) - batch["outputs"]).square().mean()
        return error, {"size": batch["inputs"].square().mean()}

    def training_rows(self):
        return 448

    def validation_batches(self, size):
        return 64 // size

    def save(self, folder, state, record):
        folder.mkdir(exist_ok=True)
        save_file(state, folder / "model.safetensors")
