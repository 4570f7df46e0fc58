"""Actions as tokens: OpenVLA's bins, normalisation and gripper convention, with exact inverses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.tokenizers.grippers import ROBOSUITE, ROOM, STORED, UNIT, Gripper
from playloop.tokenizers.normalizer import QuantileNormalizer, finite_list

WORDS = 32000
"""Ids of OpenVLA's tokenizer; the highest 256 of them stand for actions."""


@dataclass(frozen=True)
class UniformBins:
    """256 edges on [-1, 1], 255 centres between them, ids that descend as the value rises.

    Args:
        vocabulary: the id one above the action ids: 256 for our own models, whose ids are 0 … 255; 32000
            for OpenVLA, whose ids are 31744 … 31999. The lowest id is hit by +1 exactly, and shares its
            centre with the next.
        edges: number of edges.
    """

    vocabulary: int = 256
    edges: int = 256

    @cached_property
    def boundaries(self) -> Tensor:
        """The edges, float64 [edges]."""
        return torch.from_numpy(np.linspace(-1.0, 1.0, self.edges))

    @cached_property
    def centers(self) -> Tensor:
        """The values that ids decode to, float64 [edges - 1]."""
        return (self.boundaries[:-1] + self.boundaries[1:]) / 2

    def encode(self, values: Tensor) -> Tensor:
        """Values in any shape, clipped to [-1, 1] → int64 ids; compared in float64, like np.digitize."""
        values = values.double().clamp(-1, 1)
        return self.vocabulary - torch.bucketize(values, self.boundaries.to(values.device), right=True)

    def decode(self, ids: Tensor) -> Tensor:
        """Ids in any shape → float64 centres; an id beyond the range gives the nearest end's centre."""
        index = (self.vocabulary - ids - 1).clamp(0, self.edges - 2)
        return self.centers.to(ids.device)[index]

    @property
    def ids(self) -> range:
        """The action ids, ascending."""
        return range(self.vocabulary - self.edges, self.vocabulary)


@dataclass(frozen=True, eq=False)
class ActionTokenizer:
    """A chunk of actions [..., H, A] ↔ H · A tokens, row by row.

    Whatever is no action id decodes as published, without an error: ids below the range like its lowest, the
    highest value, and those above it, the lowest value.

    Args:
        normalizer: of the A action dimensions.
        chunk: H.
        bins: the bins of every dimension.
        convention: how the environment takes grippers.
        stored: name in `grippers.STORED`, of how the data stores them.
        grippers: dimensions that are grippers; None: those with mask False.
    """

    normalizer: QuantileNormalizer
    chunk: int = 8
    bins: UniformBins = field(default_factory=UniformBins)
    convention: Gripper = ROBOSUITE
    stored: str = UNIT
    grippers: tuple[int, ...] | None = None

    @classmethod
    def from_statistics(cls, statistics: dict[str, Any], chunk: int = 8) -> ActionTokenizer:
        """From the "action" entry of `compute_statistics`, whose grippers must go from -1 to 1."""
        normalizer = QuantileNormalizer.from_statistics(statistics)
        _check_grippers(statistics, normalizer)
        return cls(normalizer, chunk)

    @property
    def length(self) -> int:
        """Tokens in a chunk."""
        return self.chunk * self.normalizer.size

    @cached_property
    def gripper(self) -> Tensor:
        """bool [A], True for the dimensions that are grippers."""
        if self.grippers is None:
            return torch.from_numpy(~self.normalizer.mask)
        return torch.tensor([index in self.grippers for index in range(self.normalizer.size)])

    def encode(self, actions: Tensor) -> Tensor:
        """Raw actions [..., H, A] → int64 ids [..., H * A]."""
        chunk, size = self.chunk, self.normalizer.size
        if actions.shape[-2:] != (chunk, size):
            raise ValueError(f"expected actions [..., {chunk}, {size}], got {tuple(actions.shape)}")
        targets = torch.where(self.gripper.to(actions.device), self.convention.target(actions), actions)
        return self.bins.encode(self.normalizer.normalize(targets)).flatten(-2)

    def decode(self, ids: Tensor) -> Tensor:
        """Ids [..., H * A] → raw actions, float64 [..., H, A]."""
        size = self.normalizer.size
        if ids.shape[-1] % size:
            raise ValueError(f"{ids.shape[-1]} tokens do not make actions of {size}")
        return self.commands(self.bins.decode(ids).unflatten(-1, (-1, size)))

    def commands(self, values: Tensor) -> Tensor:
        """Normalised values [..., A] → raw actions, float64, grippers as the environment takes them."""
        restored = self.normalizer.restore(values)
        opening = STORED[self.stored][1](restored)
        return torch.where(self.gripper.to(values.device), self.convention.command(opening), restored)

    def strange(self, ids: Tensor) -> Tensor:
        """Which ids [...] are no action ids: worth counting, since nothing else tells of them."""
        return (ids < self.bins.ids[0]) | (ids > self.bins.ids[-1])

    def legal_ids(self) -> Tensor:
        """bool [H * A, 256]: which of `bins.ids` a position may hold; a gripper's are open and closed."""
        first = self.bins.ids[0]
        two = self.bins.encode(torch.tensor([0.0, 1.0])) - first
        legal = torch.ones(self.normalizer.size, len(self.bins.ids), dtype=torch.bool)
        legal[self.gripper] = False
        legal[self.gripper.nonzero(), two] = True
        return legal.repeat(self.chunk, 1)


def _check_grippers(statistics: dict[str, Any], normalizer: QuantileNormalizer) -> None:
    """Refuse a gripper that does not go from -1 to 1: cut at 0, other commands are lost or turned round."""
    for index in (~normalizer.mask).nonzero()[0]:
        low, high = gripper_range(statistics, normalizer, int(index))
        still = low == high and abs(low) == 1
        if not (low < 0 < high or still) or low < -1 - ROOM or high > 1 + ROOM:
            raise ValueError(
                f"the statistics say that the gripper (action {index}) goes from {low:g} to {high:g}, and "
                "here its commands are -1 and 1, cut at 0; record the data with such ones, or convert them"
            )


def gripper_range(
    statistics: dict[str, Any], normalizer: QuantileNormalizer, index: int
) -> tuple[float, float]:
    """Lowest and highest value of an action in its data, as far as the statistics tell."""
    ends = []
    for name, quantile in (("min", normalizer.q01), ("max", normalizer.q99)):
        values = finite_list(name, statistics[name]) if name in statistics else quantile
        if len(values) != normalizer.size:
            raise ValueError(f"the statistics' {name} has {len(values)} numbers, not {normalizer.size}")
        ends.append(float(values[index]))
    return ends[0], ends[1]
