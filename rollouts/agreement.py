"""Does a simulator rank policies as the real robot does? (SIMPLER, arXiv 2405.05941)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from playloop.envs.simpler.published import REAL, SIMULATED, TASKS
from playloop.rollouts.compare import read_contract
from playloop.rollouts.store import read_results


@dataclass(frozen=True)
class Agreement:
    """How far a simulator agrees with the real robot, in one task."""

    mmrv: float  # mean maximum rank violation, 0 for the same order
    pearson: float  # correlation of the success rates, NaN where all are equal on one side
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


def simulated_outcomes(runs: Mapping[str, Path]) -> dict[str, dict[str, list[bool]]]:
    """Task → policy → success of every judged episode, from policies' folders of `playloop eval env=simpler`.

    Raises:
        ValueError: a folder holds no judged episode of a published task, or not the published protocol.
    """
    found: dict[str, dict[str, list[bool]]] = {}
    for policy, folder in runs.items():
        protocol = str(read_contract(folder).get("protocol", ""))
        if any(word in protocol for word in ("success=", "horizon=")):
            raise ValueError(
                f"{folder} was judged by {protocol!r}; real robots were judged by the standard rule"
            )
        judged = [result for result in read_results(folder) if result.error is None]
        for suite, names in TASKS.items():
            for number, name in enumerate(names):
                wins = [r.success for r in judged if (r.episode.suite, r.episode.task) == (suite, number)]
                if wins:
                    found.setdefault(name, {})[policy] = wins
        if not any(policy in outcomes for outcomes in found.values()):
            raise ValueError(f"{folder} has no judged episode of {' or '.join(TASKS)}; use env=simpler")
    return found


def shortfalls(outcomes: Mapping[str, Mapping[str, list[bool]]]) -> list[str]:
    """Which rates are of fewer episodes than the published protocol has, a phrase each."""
    from playloop.envs.simpler.config import SimplerConfig  # the simulator, which published tables need not

    wanted = {
        name: len(SimplerConfig(suite).episodes([number]))
        for suite, names in TASKS.items()
        for number, name in enumerate(names)
    }
    return [
        f"{policy}, {name.replace('_', ' ')}: {len(wins)} of {wanted[name]} episodes"
        for name, policies in outcomes.items()
        for policy, wins in policies.items()
        if len(wins) < wanted[name]
    ]


def agreement_table(runs: Mapping[str, Path]) -> Table:
    """A row a task: the published simulator, or what `runs` hold, against the published real robots.

    Below it stands which rates are of fewer episodes than published; a task of one policy has no ranking.

    Raises:
        ValueError: see `simulated_outcomes` and `agreement`.
    """
    outcomes = simulated_outcomes(runs)
    mine = {name: {p: float(np.mean(w)) for p, w in policies.items()} for name, policies in outcomes.items()}
    rates, incomplete = (mine, shortfalls(outcomes)) if runs else (SIMULATED, [])
    caption = f"Incomplete: {'; '.join(incomplete)}" if incomplete else None
    table = Table(show_edge=False, pad_edge=False, caption=caption)
    ranked = [name for name, simulated in rates.items() if len(simulated.keys() & REAL[name].keys()) > 1]
    for heading in ("task", "policies", "MMRV", "Pearson r"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for name, simulated in rates.items():
        cells = [str(len(simulated)), "–", "–"]
        if not ranked or name in ranked:
            found = agreement(simulated, REAL[name])
            correlated = "–" if np.isnan(found.pearson) else f"{found.pearson:.3f}"
            cells = [str(len(found.policies)), f"{found.mmrv:.3f}", correlated]
        table.add_row(name.replace("_", " "), *cells)
    return table
