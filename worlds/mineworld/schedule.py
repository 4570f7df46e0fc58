"""MineWorld's frames on the small world model's `Schedule`: eleven action tokens before, raster positions.

A *unit* is what one action leads to: its eleven tokens and then the frame's, in raster order. Positions count
through all units, and the first frame has no action. Two sets of rules say who sees whom within a unit:

- clean: a query sees exactly the tokens whose true keys were fed up to its own step. Nothing that is fed is
  ever wrong, and nothing that is not fed is ever seen. This is also the mask to train with.
- compat: as released. The first token of a row is predicted where the row above ends, whose token is not yet
  known; a placeholder is fed there, and its keys stay. A query sees all places before its own, also those
  that nobody has written: they hold zeros, which take their share of the softmax. It does not see tokens of
  lower rows that are known already.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from playloop.core.kinds import kind
from playloop.worlds.schedule import Schedule, Step


@kind("frame-schedule")
@dataclass(frozen=True)
class FrameSchedule:
    """The steps of one unit.

    A unit has actions + h * w slots, and behind them a start query for every row but the first: it stands at
    the slot where the row above ends and predicts the row's first token. Without diagonals none is needed.

    Args:
        rows: h.
        columns: w.
        window: see `Schedule`; w or more is raster order.
        actions: tokens of an action.
        compat: the rules of the release instead of clean ones.
        causal: a clean query does not see tokens behind it in raster order either. Weights that were trained
            in raster order alone have never seen any.
    """

    rows: int = 14
    columns: int = 24
    window: int = 1
    actions: int = 11
    compat: bool = False
    causal: bool = False

    def __post_init__(self) -> None:
        if self.actions < 1:
            raise ValueError(f"actions={self.actions}: an action has at least one token")
        _ = self.grid  # checks the rest

    @cached_property
    def grid(self) -> Schedule:
        """The steps of the frame's tokens."""
        return Schedule(self.rows, self.columns, min(self.window, self.columns))

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.columns

    @property
    def slots(self) -> int:
        """Places that a unit takes in the cache."""
        return self.actions + self.tokens

    @property
    def forwards(self) -> int:
        """Forward passes a frame: columns + window * (rows - 1)."""
        return self.grid.forwards

    @property
    def starting(self) -> range:
        """The rows that have a start query. In raster order the row above has ended by then."""
        return range(1, self.rows if self.compat or self.window < self.columns else 1)

    @cached_property
    def places(self) -> Tensor:
        """The slot that each query stands at, int64 [queries]: actions, tokens, start queries."""
        ends = self.actions + self.columns * torch.tensor(self.starting, dtype=torch.int64) - 1
        return torch.cat([torch.arange(self.slots), ends])

    @cached_property
    def fed(self) -> Tensor:
        """The step at which each query runs, int64 [queries]; an action's tokens as if one after another."""
        actions = torch.arange(1 - self.actions, 1)
        starts = self.grid.window * torch.tensor(self.starting, dtype=torch.int64)
        return torch.cat([actions, self.grid.generated + 1, starts])

    @cached_property
    def visible(self) -> Tensor:
        """Whether a query (row) sees a slot (column) of its own unit, bool [queries, slots]."""
        before = torch.arange(self.slots)[None, :] <= self.places[:, None]
        if self.compat:
            return before
        seen = self.fed[None, : self.slots] <= self.fed[:, None]
        return seen & before if self.causal else seen

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The passes in order, as `Schedule.steps`. The first also feeds the action and the last token of the
        frame before. Under compat rules the last tokens of the other rows are never fed."""
        return tuple(self._step(number, step) for number, step in enumerate(self.grid.steps))

    def _step(self, number: int, step: Step) -> Step:
        if not number:
            return step
        if not self.starting:  # the one token that is fed is the one that predicts
            return Step(step.fed, tuple(range(len(step.fed))), (), step.targets)
        if self.compat:
            fed = tuple(step.fed[place] for place in step.predicting)
            return Step(fed, tuple(range(len(fed))), step.starts, step.targets)
        return step


@dataclass(frozen=True)
class ClipSchedule:
    """A clip of frames with the actions between them as one sequence.

    Args:
        unit: of every frame.
        frames: T.
        asks: whether the start queries of all frames but the first stand behind the sequence, for training.
            The first frame's are left out, so what they would predict is not counted.
    """

    unit: FrameSchedule
    frames: int
    asks: bool = False

    @property
    def length(self) -> int:
        """Tokens of the sequence: frames and the actions between them."""
        return self.frames * self.unit.slots - self.unit.actions

    @property
    def starting(self) -> range:
        """The rows that have a start query here."""
        return self.unit.starting if self.asks and not self.unit.compat else range(0)

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
        return units * self.unit.slots + self.unit.places[queries] - self.unit.actions

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
def clip_schedule(unit: FrameSchedule, frames: int, asks: bool = False) -> ClipSchedule:
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
