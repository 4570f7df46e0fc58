"""Which token of a frame is decoded when, and who may see whom: one definition for training and decoding.

Diagonal decoding (arXiv 2503.14070) starts row i + 1 as soon as row i has `window` tokens, so that token
(i, j) is generated at step j + window * i. Here the masks are made of that rule alone. A token is *fed*, and
so becomes visible, one step after it was generated; a query sees exactly the tokens fed up to its own step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

FIRST_TOKEN = 1
"""Slot of the frame's first token; slot 0 holds the action that leads to the frame."""


@dataclass(frozen=True)
class Step:
    """One forward pass of a frame.

    Args:
        fed: tokens whose keys and values this pass writes, by raster index.
        predicting: which of `fed` have a right neighbour to predict, by place in `fed`.
        starts: rows whose first token is predicted by their start query in this pass.
        targets: the tokens that come out, by raster index: those of `predicting`, then of `starts`.
    """

    fed: tuple[int, ...]
    predicting: tuple[int, ...]
    starts: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """The steps of one frame.

    A frame has 1 + h * w slots, the action and the tokens in raster order, and h - 1 start queries behind
    them, which see but are never seen: they predict the first token of every row but the first.

    Args:
        rows: h.
        columns: w.
        window: tokens of a row that must exist before the next row starts: 1 is fully diagonal, `columns`
            is raster order.
    """

    rows: int
    columns: int
    window: int = 1

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or not 1 <= self.window <= self.columns:
            raise ValueError(f"{self}: rows and columns must be positive, the window between 1 and columns")

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.columns

    @property
    def slots(self) -> int:
        """Places that a frame takes in the cache: the action and the tokens."""
        return 1 + self.tokens

    @property
    def queries(self) -> int:
        """Slots and start queries."""
        return self.slots + self.rows - 1

    @cached_property
    def generated(self) -> Tensor:
        """The step at which each token comes out, int64 [h * w]."""
        row, column = torch.arange(self.rows)[:, None], torch.arange(self.columns)
        return (column + self.window * row).flatten()

    @property
    def forwards(self) -> int:
        """Forward passes a frame: columns + window * (rows - 1)."""
        return self.columns + self.window * (self.rows - 1)

    @cached_property
    def fed(self) -> Tensor:
        """The step at which each query runs, int64 [queries]: action, tokens, start queries."""
        starts = self.window * torch.arange(1, self.rows)
        return torch.cat([torch.zeros(1, dtype=torch.int64), self.generated + 1, starts])

    @cached_property
    def visible(self) -> Tensor:
        """Whether a query (row) sees a slot (column) of its own frame, bool [queries, slots]."""
        return self.fed[: self.slots][None, :] <= self.fed[:, None]

    @cached_property
    def predicted(self) -> Tensor:
        """The token that each query predicts, -1 for none, int64 [queries]."""
        right = torch.arange(1, self.tokens + 1)
        right[self.columns - 1 :: self.columns] = -1
        starts = self.columns * torch.arange(1, self.rows)
        return torch.cat([torch.zeros(1, dtype=torch.int64), right, starts])

    @cached_property
    def readers(self) -> Tensor:
        """The query that predicts each token, int64 [h * w]; the inverse of `predicted`."""
        readers = torch.empty(self.tokens, dtype=torch.int64)
        asked = self.predicted >= 0
        readers[self.predicted[asked]] = asked.nonzero()[:, 0]
        return readers

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The passes in order. The frame's last token is fed in the next frame's first pass."""
        return tuple(self._step(number) for number in range(self.forwards))

    def _step(self, number: int) -> Step:
        fed = tuple((self.generated == number - 1).nonzero()[:, 0].tolist())
        predicting = tuple(place for place, token in enumerate(fed) if (token + 1) % self.columns)
        starts = tuple(row for row in range(1, self.rows) if row * self.window == number)
        targets = (*(fed[place] + 1 for place in predicting), *(row * self.columns for row in starts))
        return Step(fed, predicting, starts, targets if number else (0,))


def clip_mask(schedule: Schedule, frames: int, context: int) -> Tensor:
    """Who sees whom in a clip, bool [frames * queries, frames * slots].

    Args:
        schedule: of every frame.
        frames: length of the clip.
        context: a frame sees itself and at most `context` - 1 frames before it, as the ring cache holds.
    """
    age = torch.arange(frames)[:, None] - torch.arange(frames)  # [frames, frames]
    past = ((age > 0) & (age < context)).repeat_interleave(schedule.queries, 0)
    past = past.repeat_interleave(schedule.slots, 1)
    own = torch.block_diag(*[schedule.visible.float()] * frames).bool()
    return past | own
