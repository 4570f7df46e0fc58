"""Rotary positions of a frame's slots in time and on the grid."""

from __future__ import annotations

import torch
from torch import Tensor

from playloop.worlds.schedule import Schedule


class AxialPositions:
    """Of each head's pairs a half turns with time, a quarter with the row and a quarter with the column.

    Time is relative, so frames keep their keys in a ring for ever; it is counted in float64, because a
    session's clock grows without bound.

    Args:
        schedule: gives the slots and start queries of a frame.
        size: of a head; a multiple of 8.
    """

    def __init__(self, schedule: Schedule, size: int):
        if size % 8:
            raise ValueError(f"a head of {size} cannot be divided between time, row and column; use 8 · n")
        self.quarter, tokens = size // 8, torch.arange(schedule.tokens)
        starts = torch.arange(1, schedule.rows)
        rows = torch.cat([torch.tensor([-1]), tokens // schedule.columns, starts])
        columns = torch.cat([torch.tensor([-1]), tokens % schedule.columns, torch.full_like(starts, -1)])
        octave = self.frequencies(self.quarter, 32.0)
        self.grid = torch.cat([rows[:, None] * octave, columns[:, None] * octave], 1)  # [queries, E / 4]

    @staticmethod
    def frequencies(count: int, longest: float) -> Tensor:
        """Radians a unit, from one down to 1 / longest, float64 [count]."""
        return longest ** -torch.linspace(0, 1, count, dtype=torch.float64)

    def of_frames(self, times: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T * queries, 1, E / 2] of frames at the times [T]."""
        clock = times.double()[:, None] * self.frequencies(2 * self.quarter, 64.0).to(times.device)
        queries = len(self.grid)
        angles = torch.cat(
            [
                clock[:, None].expand(-1, queries, -1),
                self.grid.to(times.device).expand(len(times), -1, -1),
            ],
            -1,
        ).flatten(0, 1)
        return angles.cos()[:, None].to(dtype), angles.sin()[:, None].to(dtype)
