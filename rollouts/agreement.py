"""Does a simulator rank policies as the real robot does? (SIMPLER, arXiv 2405.05941)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Of a simulator with the real robot, in one task.

    Args:
        mmrv: mean maximum rank violation, 0 for the same order; see `rank_violation`.
        pearson: correlation of the success rates, NaN where all are equal on one side.
        policies: that were compared.
    """

    mmrv: float
    pearson: float
    policies: tuple[str, ...]


def agreement(simulated: Mapping[str, float], real: Mapping[str, float]) -> Agreement:
    """Compare success rates in [0, 1] of the policies that both name.

    Raises:
        ValueError: they name fewer than two together.
    """
    policies = tuple(name for name in simulated if name in real)
    if len(policies) < 2:
        raise ValueError(
            f"simulated {sorted(simulated)} and real {sorted(real)} results share fewer than two policies; "
            "a ranking needs two"
        )
    mine, theirs = ([rates[name] for name in policies] for rates in (simulated, real))
    return Agreement(rank_violation(mine, theirs), correlation(mine, theirs), policies)


def rank_violation(simulated: Sequence[float], real: Sequence[float]) -> float:
    """Mean over the policies of their worst violation of the real order, in units of real success rate.

    A pair is violated where one is better on one side and not on the other; as published, a tie on one side
    alone is a violation from one of its ends. It weighs as much as the two differ in reality.
    """
    mine, theirs = np.asarray(simulated, float), np.asarray(real, float)
    violated = np.greater.outer(mine, mine) != np.greater.outer(theirs, theirs)
    apart = np.abs(np.subtract.outer(theirs, theirs))
    return float(np.where(violated, apart, 0.0).max(1).mean())


def correlation(simulated: Sequence[float], real: Sequence[float]) -> float:
    """Pearson's r; NaN where one side does not vary."""
    if np.ptp(simulated) == 0 or np.ptp(real) == 0:
        return float("nan")
    return float(np.corrcoef(simulated, real)[0, 1])
