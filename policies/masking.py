"""The corruption that the policy learns to undo."""

from __future__ import annotations

import torch
from torch import Tensor

from playloop.nn.sampling import rank_descending


def draw_masks(rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Which positions are masked, bool [rows, length], uniformly without replacement and at least one a row.

    Their share is cos(π u / 2) with u uniform: mostly masked more often than mostly known.
    """
    device = generator.device
    share = torch.cos(torch.pi / 2 * torch.rand(rows, 1, generator=generator, device=device))
    count = (length * share).round().clamp_min(1)
    ranks = rank_descending(torch.rand(rows, length, generator=generator, device=device))
    return ranks < count
