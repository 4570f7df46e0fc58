"""A model's own frames in place of recorded ones: what it will see when it plays."""

from __future__ import annotations

import torch
from torch import Tensor

from playloop.worlds.decode import decode_frame
from playloop.worlds.model import WorldModel
from playloop.worlds.ring import RingCache, write_frame
from playloop.worlds.sampler import SamplerConfig


@torch.no_grad()
def imagine(
    model: WorldModel,
    tokens: Tensor,
    actions: Tensor,
    known: int,
    sampler: SamplerConfig,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Tensor:
    """A copy of clips in which all frames after the first `known` are the model's.

    Decoded with the schedule, the masks and the cache of play; no gradient.

    Args:
        model: whose weights stay as they are.
        tokens: int64 [B, T, N].
        actions: int64 [B, T - 1, G].
        known: recorded frames at the start, at least 1.
        sampler: how tokens are drawn.
        generator: of the draws, on the device.
        dtype: to compute in.
    """
    b, t, n = tokens.shape
    seen, cache = tokens.clone(), RingCache.for_model(model, b, dtype)
    first = torch.zeros_like(actions[:, 0])
    with torch.inference_mode():
        for number in range(known):
            action = actions[:, number - 1] if number else first
            has_action = torch.full((b,), number > 0, device=tokens.device)
            write_frame(model, cache, tokens[:, number], action, has_action, sampler)
        for number in range(known, t):
            uniform = torch.rand(b, n, generator=generator, device=tokens.device)
            seen[:, number] = decode_frame(model, cache, actions[:, number - 1], uniform, sampler)
    return seen
