"""A task with a frozen bfloat16 stack of blocks, adapters beside its layers and a trained layer behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from playloop.nn.layers import Linear
from playloop.nn.llama import RMSNorm, SwiGLU
from playloop.nn.lora import LoRAConfig, adapt
from playloop.nn.slots import Slot
from playloop.training.task import Share

WIDTH, HIDDEN = 7, 9  # odd: two processes cannot hold equal slices


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.mlp = RMSNorm(WIDTH), SwiGLU(WIDTH, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


class Stack(nn.Module):
    def __init__(self, blocks: int = 3):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))
        self.head = Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@dataclass
class AdaptedConfig:
    die_at: int | None = None

    def make(self) -> Adapted:
        return Adapted(self)


class Adapted:
    def __init__(self, config: AdaptedConfig):
        generator = torch.Generator().manual_seed(0)
        self.model: nn.Module = Stack().to(torch.bfloat16)
        for parameter in self.model.parameters():
            parameter.data = (torch.randn(parameter.shape, generator=generator) * 0.4).to(torch.bfloat16)
        slots = {}
        for number in range(3):
            inner = f"blocks.{number}.mlp.inner.weight"
            slots[f"{number}.gate.weight"] = Slot(inner, 0, HIDDEN)
            slots[f"{number}.up.weight"] = Slot(inner, HIDDEN, HIDDEN)
            slots[f"{number}.down.weight"] = Slot(f"blocks.{number}.mlp.outer.weight")
        adapt(self.model, slots, LoRAConfig(rank=2), generator)
        self.model.get_submodule("head").float().requires_grad_(True)
        self.inputs = torch.randn(256, WIDTH, generator=generator)
        self.outputs = self.inputs @ torch.randn(WIDTH, 3, generator=generator)
        self.die_at = config.die_at

    def prepare(self, device, dtype):
        self.model.to(device)

    def describe(self):
        return {"name": "adapted"}

    def batch(self, split, step, generator, share: Share):
        if split == "train" and step == self.die_at:
            raise KeyboardInterrupt
        limits = (0, 224) if split == "train" else (224, 256)
        rows = share.of(torch.randint(*limits, (share.size,), generator=generator))
        return {"inputs": self.inputs[rows], "outputs": self.outputs[rows]}

    def loss(self, batch, generator):
        noise = 0.01 * torch.randn(batch["inputs"].shape, generator=generator)
        return (self.model(batch["inputs"] + noise) - batch["outputs"]).square().mean(), {}

    def training_rows(self):
        return 224

    def validation_batches(self, size):
        return 2

    def save(self, folder: Path, state, record):
        folder.mkdir(exist_ok=True)
        save_file(state, folder / "model.safetensors")
