"""Averages as benchmarks publish them: means of means, whose groups weigh alike however large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playloop.rollouts.statistics import wilson


def mean_of_means(label: str, groups: Mapping[str, Sequence[bool]], asked: int) -> dict[str, Any]:
    """The unweighted mean of the groups' success rates; groups without a judged episode are left out.

    Args:
        label: what this average is called, and of what it is one.
        groups: name → judged successes.
        asked: episodes that the published protocol has in these groups together.

    Returns:
        "rate" (None without any episode), "wilson95", "episodes", "complete" (all of the protocol's episodes
        are judged) and each group's own "groups". The interval is Wilson's for the effective number of
        episodes (Kish): of as many in equal groups it is the plain one, unequal groups make it wider.
    """
    counts = {name: (sum(found), len(found)) for name, found in groups.items() if found}
    total = sum(trials for _, trials in counts.values())
    record: dict[str, Any] = {"label": label, "episodes": total, "complete": total == asked and total > 0}
    if not counts:
        return record | {"rate": None, "wilson95": [0.0, 1.0], "groups": {}}
    rates = {name: successes / trials for name, (successes, trials) in counts.items()}
    rate = sum(rates.values()) / len(rates)
    effective = len(rates) ** 2 / sum(1 / trials for _, trials in counts.values())
    return record | {"rate": rate, "wilson95": list(wilson(rate * effective, effective)), "groups": rates}
