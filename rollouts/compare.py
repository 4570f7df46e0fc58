"""Evaluations against each other on the episodes that all of them have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from playloop.core.episode import Episode
from playloop.core.ledger import changes, read_config
from playloop.core.results import EpisodeResult
from playloop.core.sentences import upgraded
from playloop.core.statistics import Pairs, count_pairs, holm, mcnemar_exact, paired_difference
from playloop.rollouts.selection import by_task
from playloop.rollouts.store import read_results


@dataclass(frozen=True)
class Comparison:
    """Evaluations, A first, on the episodes that all of them have judged; `str()` is for the screen.

    Args:
        names: their folders.
        results: of every shared episode, one a run.
        unpaired: judged episodes of each that are not shared.
        errors: episodes of each that could not be judged.
    """

    names: tuple[str, ...]
    results: dict[Episode, tuple[EpisodeResult, ...]]
    unpaired: tuple[int, ...]
    errors: tuple[int, ...]

    @property
    def overall(self) -> Pairs:
        """First against second."""
        return self.pairs(0, 1)

    @property
    def tasks(self) -> dict[tuple[str, int], Pairs]:
        """First against second, task by task."""
        return {task: self.pairs(0, 1, episodes) for task, episodes in by_task(self.results).items()}

    @property
    def letters(self) -> str:
        """A name for each run."""
        return ascii_uppercase[: len(self.names)]

    def pairs(self, first: int, second: int, episodes: Iterable[Episode] | None = None) -> Pairs:
        """Two of the runs against each other, on all shared episodes or some."""
        chosen = [self.results[episode] for episode in (self.results if episodes is None else episodes)]
        return count_pairs((runs[first].success, runs[second].success) for runs in chosen)

    def successes(self, run: int, episodes: Iterable[Episode] | None = None) -> int:
        """How often a run succeeded, likewise."""
        chosen = self.results if episodes is None else episodes
        return sum(self.results[episode][run].success for episode in chosen)

    def differing(self) -> list[Episode]:
        """Episodes that some of the runs solved and others did not."""
        return [e for e, runs in self.results.items() if len({run.success for run in runs}) > 1]

    def tests(self) -> dict[tuple[int, int], float]:
        """p of McNemar's exact test for every two runs, by Holm's correction for their number."""
        every = list(combinations(range(len(self.names)), 2))
        found = [self.pairs(*two) for two in every]
        ps = holm([mcnemar_exact(pairs.only_first, pairs.only_second) for pairs in found])
        return dict(zip(every, ps, strict=True))

    def __str__(self) -> str:
        runs = [f"{letter}  {name}" for letter, name in zip(self.letters, self.names, strict=True)]
        lines = self._two() if len(self.names) == 2 else self._several()
        left_out = self.left_out()
        return "\n".join([*runs, "", *lines, *([left_out] if left_out else [])])

    def _two(self) -> Iterator[str]:
        width = max(len(suite) + 8 for suite, _ in self.tasks)
        yield "task".ljust(width) + "  pairs       A       B   A only  B only   difference [95 %]"
        for (suite, task), pairs in sorted(self.tasks.items()):
            yield f"{suite} {task:02d}".ljust(width) + _pairs_text(pairs)
        yield "all".ljust(width) + _pairs_text(self.overall)
        [p] = self.tests().values()
        yield from ("", f"McNemar's exact test: p = {p:.4g} ({_verdict(p)} at 5 %)")

    def _several(self) -> Iterator[str]:
        tasks = by_task(sorted(self.results))
        width = max(len(suite) + 8 for suite, _ in tasks)
        yield "task".ljust(width) + "  pairs" + "".join(f"{letter:>8}" for letter in self.letters)
        for (suite, task), episodes in tasks.items():
            yield f"{suite} {task:02d}".ljust(width) + self._rates(episodes)
        yield "all".ljust(width) + self._rates(list(self.results))
        yield ""
        yield "pair      first  second   difference [95 %]         McNemar's exact p, by Holm's correction"
        for (first, second), p in self.tests().items():
            pairs = self.pairs(first, second)
            counts = f"{pairs.only_first:8d} {pairs.only_second:7d}"
            name = f"{self.letters[first]} - {self.letters[second]}"
            yield f"{name}  {counts}   {_difference_text(pairs):<25} {p:.4g} ({_verdict(p)} at 5 %)"

    def _rates(self, episodes: list[Episode]) -> str:
        rates = (self.successes(run, episodes) / len(episodes) for run in range(len(self.names)))
        return f"{len(episodes):7d}" + "".join(f"{rate:8.1%}" for rate in rates)

    def left_out(self) -> str:
        """What is not compared, in words; nothing where all is."""
        if not any(self.unpaired) and not any(self.errors):
            return ""
        what = "only in" if len(self.names) == 2 else "not shared in"
        counts = [f"{n} {what} {letter}" for letter, n in zip(self.letters, self.unpaired, strict=True)]
        errors = [f"{n} in {letter}" for letter, n in zip(self.letters, self.errors, strict=True)]
        first, *others = counts
        told = ", ".join([first.replace(" ", " episodes ", 1), *others])
        return f"left out: {told}; errors: {', '.join(errors)}"


def compare(first: Path, *others: Path) -> Comparison:
    """Compare folders of `playloop eval` on the episodes that all have judged.

    Raises:
        FileNotFoundError: a folder holds no evaluation.
        ValueError: the environments' conventions or protocols differ, no episode is shared, or there is no
            other folder, or more than letters.
    """
    folders = (first, *others)
    if not 2 <= len(folders) <= len(ascii_uppercase):
        raise ValueError(f"give two folders to {len(ascii_uppercase)}, not {len(folders)}.")
    for letter, other in zip(ascii_uppercase[1:], others, strict=False):
        _check_alike(first, other, letter)
    judged, errors = zip(*map(_judged, folders), strict=True)
    shared = sorted(set(judged[0]).intersection(*judged[1:]))
    if not shared:
        raise ValueError(
            f"{' and '.join(map(str, folders))} share no judged episode (suite, task, initial state and seed "
            "must be equal); evaluate each with the same suite, inits and seed"
        )
    return Comparison(
        tuple(map(str, folders)),
        {episode: tuple(run[episode] for run in judged) for episode in shared},
        tuple(len(run) - len(shared) for run in judged),
        errors,
    )


def _check_alike(first: Path, other: Path, letter: str) -> None:
    if changed := changes(read_contract(first), read_contract(other)):
        rows = "".join(f"\n  {key}: {old} in A, {new} in {letter}" for key, old, new in changed)
        raise ValueError(
            f"the evaluations A, {first}, and {letter}, {other}, judge differently, so their episodes "
            f"make no pairs; evaluate both under one protocol:{rows}"
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


def _verdict(p: float) -> str:
    return "a difference" if p < 0.05 else "no difference shown"


def _pairs_text(pairs: Pairs) -> str:
    first, second = pairs.first / pairs.total, pairs.second / pairs.total
    counts = f"{pairs.total:7d} {first:7.1%} {second:7.1%} {pairs.only_first:8d} {pairs.only_second:7d}"
    return f"{counts}   {_difference_text(pairs)}"


def _difference_text(pairs: Pairs) -> str:
    difference, low, high = paired_difference(pairs)
    return f"{100 * difference:+6.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
