"""What the trainer needs from the thing that is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Share:
    """One process's part of a batch.

    Args:
        size: rows in the whole batch, over all processes.
        rank: number of this process.
        ranks: number of processes.
    """

    size: int
    rank: int = 0
    ranks: int = 1

    def of(self, rows: Tensor) -> Tensor:
        """This process's rows of the whole batch's [size, ...]."""
        return rows[self.rank :: self.ranks]


class TaskConfig(Protocol):
    """What a task is made of; checked when it is created."""

    def settings(self) -> dict[str, Any]:
        """The part of `TrainingTask.describe` that is known before data is read."""

    def make(self) -> TrainingTask:
        """The task; data is read."""


class TrainingTask(Protocol):
    """A model, its data and its loss.

    `model` is what is trained: its parameters that require a gradient. Nothing here may depend on how often
    it was called before: a resumed run takes only the steps that are left.
    """

    model: nn.Module

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the model to `device`; compute in `dtype` from now on (trained parameters stay float32)."""

    def describe(self) -> dict[str, Any]:
        """What makes a different run, as JSON: data, model, seed. A changed one is not resumed."""

    def batch(self, split: str, step: int, generator: torch.Generator, share: Share) -> dict[str, Tensor]:
        """This process's rows of batch `step` of "train" or "validation", on the CPU or on the device.

        A pure function of its arguments: `generator` is seeded by the run's seed, the split and the step,
        alike in all processes. Called from a background thread.
        """

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and detached metrics; `generator` is on the device and the source of all randomness."""

    def training_rows(self) -> int:
        """How many rows there are to train on."""

    def validation_batches(self, size: int) -> int:
        """How many batches of `size` rows the validation split has; 0 for none."""

    def save(self, folder: Path, state: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Export the model with these weights into `folder`, atomically; `record` describes the run.

        `state` holds the trained parameters and the buffers; frozen parameters are what they were before.
        """
