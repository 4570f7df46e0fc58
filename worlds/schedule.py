"""Which token of a frame is decoded when, and who may see whom: one definition for training and decoding.

A *unit* is what one action leads to: the action's tokens and then the frame's, in raster order. Diagonal
decoding (arXiv 2503.14070) starts row i + 1 as soon as row i has `window` tokens, so that token (i, j) is
generated at step j + window * i. A token is *fed*, and so becomes visible, one step after it was generated.
Two sets of rules say who sees whom within a unit:

- clean: a query sees exactly the tokens whose true keys were fed up to its own step. Nothing that is fed is
  ever wrong, and nothing that is not fed is ever seen. This is also the mask to train with.
- released: as MineWorld's programs decode. The first token of a row is predicted where the row above ends,
  whose token is not yet known; a placeholder is fed there, and its keys stay. A query sees all slots before
  its own, also those that nobody has written: they hold zeros, which take their share of the softmax. It does
  not see tokens of lower rows that are known already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from playloop.core.checked import checked
from playloop.core.kinds import kind


@dataclass(frozen=True)
class Step:
    """One forward pass of a frame.

    Args:
        fed: tokens whose keys and values this pass writes, by raster index.
        predicting: which of `fed` have a right neighbour to predict, by index in `fed`.
        starts: rows whose first token is predicted by their start query in this pass.
        targets: the tokens that come out, by raster index: those of `predicting`, then of `starts`.
    """

    fed: tuple[int, ...]
    predicting: tuple[int, ...]
    starts: tuple[int, ...]
    targets: tuple[int, ...]


@kind("frame-schedule")
@checked(frozen=True)
class Schedule:
    """The steps of one unit.

    A unit has actions + h * w slots, and behind them the start queries, which predict the first token of
    every row but the first.

    Args:
        rows: h.
        columns: w.
        window: tokens of a row that must exist before the next row starts: 1 is fully diagonal, `columns`
            is raster order.
        actions: tokens of an action.
        own_starts: start queries have positions of their own. Otherwise each stands at the slot where the
            row above ends, and clean raster order needs none.
        released: the rules of MineWorld's release instead of clean ones.
        causal: a clean query does not see tokens behind it in raster order either. Weights that were trained
            in raster order alone have never seen any.
    """

    rows: int
    columns: int
    window: int = 1
    actions: int = 1
    own_starts: bool = True
    released: bool = False
    causal: bool = False

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or not 1 <= self.window <= self.columns:
            raise ValueError(f"{self}: rows and columns must be positive, the window between 1 and columns")
        if self.actions < 1:
            raise ValueError(f"actions={self.actions}: an action has at least one token")

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.columns

    @property
    def slots(self) -> int:
        """Slots that a unit takes in the cache: the action's tokens and the frame's."""
        return self.actions + self.tokens

    @property
    def starting(self) -> range:
        """The rows that have a start query."""
        needed = self.own_starts or self.released or self.window < self.columns
        return range(1, self.rows if needed else 1)

    @property
    def queries(self) -> int:
        """Slots and start queries."""
        return self.slots + len(self.starting)

    @property
    def forwards(self) -> int:
        """Forward passes a frame: columns + window * (rows - 1)."""
        return self.columns + self.window * (self.rows - 1)

    @cached_property
    def generated(self) -> Tensor:
        """The step at which each token comes out, int64 [h * w]."""
        row, column = torch.arange(self.rows)[:, None], torch.arange(self.columns)
        return (column + self.window * row).flatten()

    @cached_property
    def positions(self) -> Tensor:
        """The slot whose position each query has, int64 [queries]: action, tokens, start queries."""
        if self.own_starts:
            return torch.arange(self.queries)
        ends = self.actions + self.columns * torch.tensor(self.starting, dtype=torch.int64) - 1
        return torch.cat([torch.arange(self.slots), ends])

    @cached_property
    def fed(self) -> Tensor:
        """The step at which each query runs, int64 [queries]; an action's tokens as if one after another."""
        actions = torch.arange(1 - self.actions, 1)
        starts = self.window * torch.tensor(self.starting, dtype=torch.int64)
        return torch.cat([actions, self.generated + 1, starts])

    @cached_property
    def visible(self) -> Tensor:
        """Whether a query (row) sees a slot (column) of its own unit, bool [queries, slots]."""
        before = torch.arange(self.slots)[None, :] <= self.positions[:, None]
        if self.released:
            return before
        seen = self.fed[None, : self.slots] <= self.fed[:, None]
        return seen & before if self.causal else seen

    @cached_property
    def predicted(self) -> Tensor:
        """The token that each query predicts, -1 for none, int64 [queries]."""
        action, right = torch.full((self.actions,), -1), torch.arange(1, self.tokens + 1)
        action[-1] = 0
        right[self.columns - 1 :: self.columns if self.starting else self.tokens] = -1
        starts = self.columns * torch.tensor(self.starting, dtype=torch.int64)
        return torch.cat([action, right, starts])

    @cached_property
    def readers(self) -> Tensor:
        """The query that predicts each token, int64 [h * w]; the inverse of `predicted`."""
        readers = torch.empty(self.tokens, dtype=torch.int64)
        predicts = self.predicted >= 0
        readers[self.predicted[predicts]] = predicts.nonzero()[:, 0]
        return readers

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The passes in order. The first feeds the action and the last token of the frame before. Under the
        release's rules the last tokens of the other rows are never fed."""
        return tuple(self._step(number) for number in range(self.forwards))

    def _step(self, number: int) -> Step:
        if not number:
            return Step((), (), (), (0,))
        fed = tuple((self.generated == number - 1).nonzero()[:, 0].tolist())
        predicting = tuple(index for index, token in enumerate(fed) if (token + 1) % self.columns)
        starts = tuple(row for row in range(1, self.rows) if row * self.window == number)
        targets = (*(fed[index] + 1 for index in predicting), *(row * self.columns for row in starts))
        if not self.starting:  # the one token that is fed is the one that predicts
            return Step(fed, tuple(range(len(fed))), (), targets)
        if self.released:
            fed = tuple(fed[index] for index in predicting)
            predicting = tuple(range(len(fed)))
        return Step(fed, predicting, starts, targets)


@dataclass(frozen=True)
class StepIndex:
    """A `Step` as index tensors on one device.

    Args:
        fed: tokens of the frame that are fed, [m].
        rows: that start queries open, [r]; they stand behind the fed ones.
        queries: all of the pass in their unit, [m + r]; of the first pass the action's, in front of which
            the last token of the frame before stands.
        positions: the slots whose positions the queries have, [m + r].
        reading: queries of the pass that predict.
        targets: the frame's tokens that they predict, as many.
        written: how many of the pass's queries, the first, leave keys and values.
    """

    fed: Tensor
    rows: Tensor
    queries: Tensor
    positions: Tensor
    reading: Tensor
    targets: Tensor
    written: int

    @property
    def opens(self) -> bool:
        """Whether it is the frame's first."""
        return not len(self.fed) and not len(self.rows)


@cache
def step_indices(schedule: Schedule, device: torch.device) -> tuple[StepIndex, ...]:
    """A schedule's steps on a device, made once and kept: recorded graphs read them."""
    return tuple(_index(schedule, number, device) for number in range(schedule.forwards))


def _index(schedule: Schedule, number: int, device: torch.device) -> StepIndex:
    step, actions = schedule.steps[number], schedule.actions

    def index(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    queries = [actions + token for token in step.fed] + [schedule.slots + row - 1 for row in step.starts]
    reading, written = [*step.predicting, *range(len(step.fed), len(queries))], len(step.fed)
    if not number:
        queries, reading, written = list(range(actions)), [actions], 1 + actions
    elif schedule.released:
        written = len(queries)
    fed, rows, targets = (index(part) for part in (step.fed, step.starts, step.targets))
    positions = index(schedule.positions[queries].tolist())
    return StepIndex(fed, rows, index(queries), positions, index(reading), targets, written)


def placeholder_tokens(schedule: Schedule, rows: Tensor) -> tuple[Tensor, Tensor]:
    """For the rows [n]: the token at which the row above ends, and the one there that lets the row begin."""
    return rows * schedule.columns - 1, (rows - 1) * schedule.columns + schedule.window - 1


def clip_mask(schedule: Schedule, frames: int, context: int) -> Tensor:
    """Who sees whom in a clip of units, bool [frames * queries, frames * slots].

    A frame sees itself and at most `context` - 1 frames before it, as the ring cache holds.
    """
    age = torch.arange(frames)[:, None] - torch.arange(frames)  # [frames, frames]
    past = ((age > 0) & (age < context)).repeat_interleave(schedule.queries, 0)
    past = past.repeat_interleave(schedule.slots, 1)
    own = torch.block_diag(*[schedule.visible.float()] * frames).bool()
    return past | own
