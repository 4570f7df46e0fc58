"""A clip of MineWorld's frames and the actions between them as one sequence, with raster positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from playloop.worlds.schedule import Schedule


@dataclass(frozen=True)
class ClipSchedule:
    """A clip of frames with the actions between them as one sequence.

    Args:
        unit: of every frame.
        frames: T.
        asks: whether the start queries of all frames but the first stand behind the sequence, for training.
            The first frame's are left out, so what they would predict is not counted.
    """

    unit: Schedule
    frames: int
    asks: bool = False

    @property
    def length(self) -> int:
        """Tokens of the sequence: frames and the actions between them."""
        return self.frames * self.unit.slots - self.unit.actions

    @property
    def starting(self) -> range:
        """The rows that have a start query here."""
        return self.unit.starting if self.asks and not self.unit.released else range(0)

    @cached_property
    def _starts(self) -> tuple[Tensor, Tensor]:
        """Unit and query within it of every start query, frame by frame."""
        units = torch.arange(1, self.frames).repeat_interleave(len(self.starting))
        queries = self.unit.slots + torch.arange(len(self.starting)).repeat(max(self.frames - 1, 0))
        return units, queries

    @cached_property
    def _queries(self) -> tuple[Tensor, Tensor]:
        """Unit and query within it of everything, sequence first."""
        slots = torch.arange(self.length) + self.unit.actions
        units, queries = self._starts
        return (
            torch.cat([slots // self.unit.slots, units]),
            torch.cat([slots % self.unit.slots, queries]),
        )

    @cached_property
    def positions(self) -> Tensor:
        """Position in the sequence of every query, int64 [queries]."""
        units, queries = self._queries
        return units * self.unit.slots + self.unit.positions[queries] - self.unit.actions

    @cached_property
    def mask(self) -> Tensor:
        """Whether a query sees a token of the sequence, bool [queries, length]."""
        units, queries = self._queries
        own, slots = units[: self.length], queries[: self.length]
        within = self.unit.visible[queries][:, slots]
        return (own < units[:, None]) | ((own == units[:, None]) & within)

    @cached_property
    def readers(self) -> Tensor:
        """The query that predicts each token of the sequence but the first, int64 [length - 1]."""
        readers = torch.arange(self.length - 1)
        if self.starting:
            units, queries = self._starts
            rows = queries - self.unit.slots + 1
            firsts = units * self.unit.slots + rows * self.unit.columns  # in the sequence
            readers[firsts - 1] = self.length + torch.arange(len(units))
        return readers

    @cached_property
    def counted(self) -> Tensor:
        """Whether a prediction does not see what it predicts, bool [length - 1]."""
        targets = torch.arange(1, self.length)
        return ~self.mask[self.readers, targets]


@lru_cache(maxsize=16)
def clip_schedule(unit: Schedule, frames: int, asks: bool = False) -> ClipSchedule:
    """A `ClipSchedule` that is made once: the mask of a full context has thirty million entries."""
    clip = ClipSchedule(unit, frames, asks)
    with torch.inference_mode(False):  # training uses the tensors too, whoever asks first
        _ = clip.mask, clip.positions, clip.readers, clip.counted
    return clip


@lru_cache(maxsize=4)
def mask_on(clip: ClipSchedule, device: torch.device) -> Tensor:
    """`ClipSchedule.mask` on a device, copied once: it is larger than anything else that a pass is given."""
    with torch.inference_mode(False):
        return clip.mask.to(device)
