"""A frame's tokens, several a pass: the steps of a `Schedule` over a cache of any kind."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from playloop.worlds.sampler import SamplerConfig, sample
from playloop.worlds.schedule import Schedule, StepIndex, step_indices


class FramePasses(Protocol):
    """What computes the passes of one frame: its inputs, positions and masks, made once a frame."""

    sampler: SamplerConfig
    """With everything named."""
    schedule: Schedule
    fused: bool
    """Whether one kernel of a GPU draws."""

    def logits(self, step: StepIndex, tokens: Tensor) -> Tensor:
        """A pass over what it feeds of the frame's tokens int64 [B, N] → [B, targets, codes]; its keys and
        values are written."""

    def close(self, tokens: Tensor, moves: Tensor | None) -> None:
        """The frame is whole: the cache goes on to the next one, in the rows bool [B] that move."""


class FrameCache(Protocol):
    """Keys and values of the frames so far, a row for each player."""

    frame: Tensor
    """Tokens of the latest frame, int64 [B, N]."""

    def passes(
        self, model: Any, action: Tensor, sampler: SamplerConfig, moves: Tensor | None = None
    ) -> FramePasses:
        """Those of the next frame, after the actions int64 [B, G]."""


@torch.inference_mode()
def decode_frame(
    model: Any,
    cache: FrameCache,
    action: Tensor,
    uniform: Tensor,
    sampler: SamplerConfig,
    moves: Tensor | None = None,
) -> Tensor:
    """The next frame's tokens, int64 [B, N], in `Schedule.forwards` passes; the cache takes the frame.

    Args:
        model: the weights.
        cache: of that model. Every row that moves holds at least one frame, and has room for this one: the
            caller counts, this function cannot.
        action: taken at the last frame, int64 [B, G].
        uniform: one number in [0, 1) for every token, [B, N]: all the randomness there is.
        sampler: how tokens are drawn, in which order and under which rules.
        moves: rows that take this step, bool [B]; None for all. The others are computed for nothing, stay
            where they are, and may hold no frame or have no room.
    """
    passes = cache.passes(model, action, sampler, moves)
    tokens = torch.zeros_like(cache.frame)
    for step in step_indices(passes.schedule, tokens.device):
        logits = passes.logits(step, tokens)
        drawn = sample(logits, uniform[:, step.targets], passes.sampler, passes.fused)
        tokens.index_copy_(1, step.targets, drawn)
    passes.close(tokens, moves)
    return tokens


def shared(slots: Tensor) -> Tensor:
    """Slots [B, n] as `nn.decoder.put` copies them fastest: one row's are those of all rows, [n]."""
    return slots[0] if len(slots) == 1 else slots
