"""The optimizer of a run, and its learning rate over the steps."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn, optim


def learning_rate(
    step: int, steps: int, peak: float, warmup: int, floor: float = 0.0, drop: int | None = None
) -> float:
    """The rate of step 0 … steps - 1: linear warm-up to `peak`, then half a cosine to `floor * peak`.

    With `drop` it stays at the peak instead, and is a tenth of it from that step on.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if drop is not None:
        return peak if step < drop else peak / 10
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def make_optimizer(
    parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float], decay: float
) -> optim.AdamW:
    """AdamW; matrices have the weight decay, vectors none."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        groups[parameter.ndim >= 2].append(parameter)
    chosen = [{"params": part, "weight_decay": decay * big} for big, part in groups.items() if part]
    return optim.AdamW(chosen, lr=rate, betas=betas, fused=True)
