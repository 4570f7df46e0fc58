"""Two evaluations against each other on the episodes that both have."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playloop.core.episode import Episode
from playloop.core.ledger import changes, read_config
from playloop.core.results import EpisodeResult
from playloop.core.sentences import upgraded
from playloop.core.statistics import Pairs, mcnemar_exact, paired_difference
from playloop.rollouts.selection import by_task
from playloop.rollouts.store import read_results


@dataclass(frozen=True)
class Comparison:
    """First against second; `str()` is for the screen."""

    names: tuple[str, str]
    overall: Pairs
    tasks: dict[tuple[str, int], Pairs]
    unpaired: tuple[int, int]
    errors: tuple[int, int]

    def __str__(self) -> str:
        head = [f"A  {self.names[0]}", f"B  {self.names[1]}", ""]
        width = max(len(suite) + 8 for suite, _ in self.tasks)
        rows = [
            f"{suite} {task:02d}".ljust(width) + _pairs_text(pairs)
            for (suite, task), pairs in sorted(self.tasks.items())
        ]
        title = "task".ljust(width) + "  pairs       A       B   A only  B only   difference [95 %]"
        total = "all".ljust(width) + _pairs_text(self.overall)
        return "\n".join([*head, title, *rows, total, "", *self._conclusion()])

    def _conclusion(self) -> list[str]:
        pairs = self.overall
        p = mcnemar_exact(pairs.only_first, pairs.only_second)
        verdict = "a difference" if p < 0.05 else "no difference shown"
        lines = [f"McNemar's exact test: p = {p:.4g} ({verdict} at 5 %)"]
        if any(self.unpaired) or any(self.errors):
            lines.append(
                f"left out: {self.unpaired[0]} episodes only in A, {self.unpaired[1]} only in B; "
                f"errors: {self.errors[0]} in A, {self.errors[1]} in B"
            )
        return lines


def compare(first: Path, second: Path) -> Comparison:
    """Compare two folders of `playloop eval` on the episodes that both have judged.

    Raises:
        FileNotFoundError: a folder holds no evaluation.
        ValueError: the environments' conventions or protocols differ, or no episode is shared.
    """
    if changed := changes(read_contract(first), read_contract(second)):
        rows = "".join(f"\n  {key}: {old} in A, {new} in B" for key, old, new in changed)
        raise ValueError(
            f"the evaluations A, {first}, and B, {second}, judge differently, so their episodes make no "
            f"pairs; evaluate both under one protocol:{rows}"
        )
    left, left_errors = _judged(first)
    right, right_errors = _judged(second)
    shared = sorted(left.keys() & right.keys())
    if not shared:
        raise ValueError(
            f"{first} and {second} share no judged episode (suite, task, initial state and seed must be "
            "equal); evaluate both with the same suite, inits and seed"
        )

    def count(episodes: list[Episode]) -> Pairs:
        seen = Counter((left[episode].success, right[episode].success) for episode in episodes)
        return Pairs(seen[True, True], seen[True, False], seen[False, True], seen[False, False])

    return Comparison(
        (str(first), str(second)),
        count(shared),
        {task: count(episodes) for task, episodes in by_task(shared).items()},
        (len(left) - len(shared), len(right) - len(shared)),
        (left_errors, right_errors),
    )


def read_contract(folder: Path) -> dict[str, Any]:
    """Conventions and protocol under which an evaluation's episodes were judged, as today's JSON.

    Raises:
        FileNotFoundError: the folder holds no evaluation.
        ValueError: its `config.json` is damaged, or that of something else.
    """
    path = Path(folder) / "config.json"
    config = read_config(path)
    if config is None:
        raise FileNotFoundError(f"{path} does not exist; give a folder that `playloop eval` wrote")
    contract = config.get("contract")
    if not isinstance(contract, dict):
        raise ValueError(f"{path} is not of an evaluation; give a folder that `playloop eval` wrote")
    return upgraded(contract)


def _judged(folder: Path) -> tuple[dict[Episode, EpisodeResult], int]:
    results = read_results(folder)
    judged = {result.episode: result for result in results if result.error is None}
    return judged, len(results) - len(judged)


def _pairs_text(pairs: Pairs) -> str:
    difference, low, high = paired_difference(pairs)
    first, second = pairs.first / pairs.total, pairs.second / pairs.total
    return (
        f"{pairs.total:7d} {first:7.1%} {second:7.1%} {pairs.only_first:8d} {pairs.only_second:7d}"
        f"   {100 * difference:+6.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    )
