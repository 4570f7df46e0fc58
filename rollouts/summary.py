"""From episodes to rates: `summary.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.results import EpisodeResult
from playloop.core.statistics import Pairs, mcnemar_exact, paired_difference, wilson


def summarize(
    results: Iterable[EpisodeResult],
    episodes: Sequence[Episode],
    names: Sequence[str],
    contract: Contract,
    averages: Callable[[Sequence[EpisodeResult]], list[dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """The result of a run: what follows from the episodes alone, equal for a broken and an unbroken run.

    Results of other episodes than those wanted are left out. `names` are the instructions of all tasks, and
    `averages` gives what the benchmark publishes of such results, see `core.statistics`.
    """
    by_episode = {result.episode: result for result in results}
    found = [by_episode[episode] for episode in episodes if episode in by_episode]
    tasks = sorted({(episode.suite, episode.task) for episode in episodes})
    return {
        "overall": rate(found, contract.partial),
        "tasks": rates_by_task(found, tasks, contract.partial, names),
        "averages": averages(found) if averages else [],
        "asked": len(episodes),
        "seeds": sorted({episode.seed for episode in episodes}),
        "contract": contract.to_json(),
        "episodes": [_line(result) for result in sorted(found, key=lambda result: result.episode)],
    }


def rate(results: Sequence[EpisodeResult], partial: Sequence[str] = ()) -> dict[str, Any]:
    """Success rate with Wilson's 95 % interval, and rates of the `partial` flags of the results' info.

    Errors are counted apart and belong to no rate.
    """
    judged = [result for result in results if result.error is None]
    successes = sum(result.success for result in judged)
    low, high = wilson(successes, len(judged))
    return {
        "episodes": len(judged),
        "successes": successes,
        "rate": successes / len(judged) if judged else None,
        "wilson95": [low, high],
        "errors": len(results) - len(judged),
        "mean_steps": _mean([result.steps for result in judged]),
        "mean_steps_of_successes": _mean([result.steps for result in judged if result.success]),
        "mean_return": _mean([result.return_ for result in judged]),
        "partial": {name: _mean([bool(r.info[name]) for r in judged if name in r.info]) for name in partial},
    }


def rates_by_task(
    results: Sequence[EpisodeResult],
    tasks: Sequence[tuple[str, int]],
    partial: Sequence[str],
    names: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """`rate` of every (suite, task), with its instruction as `names` has it."""
    found: dict[tuple[str, int], list[EpisodeResult]] = {task: [] for task in tasks}
    for result in results:
        found[result.episode.suite, result.episode.task].append(result)
    return [
        {
            "suite": suite,
            "task": task,
            "instruction": names[task] if task < len(names) else "",
            **rate(found[suite, task], partial),
        }
        for suite, task in tasks
    ]


def difference_of(pairs: Pairs) -> dict[str, Any]:
    """First minus second rate of pairs, with its interval and McNemar's p."""
    value, low, high = paired_difference(pairs)
    return {
        "pairs": pairs.total,
        "only_first": pairs.only_first,
        "only_second": pairs.only_second,
        "value": value,
        "low": low,
        "high": high,
        "p": mcnemar_exact(pairs.only_first, pairs.only_second),
    }


def timing(results: Sequence[EpisodeResult], wall: float, workers: int) -> dict[str, Any]:
    """How long the episodes of one session took; `seconds` are sums over its episodes."""
    names = sorted({name for result in results for name in result.seconds})
    steps = sum(result.steps for result in results)
    return {
        "episodes": len(results),
        "workers": workers,
        "wall_seconds": round(wall, 3),
        "episodes_per_minute": round(60 * len(results) / wall, 2) if wall else None,
        "steps_per_second": round(steps / wall, 1) if wall else None,
        "seconds": {name: round(sum(r.seconds.get(name, 0.0) for r in results), 3) for name in names},
    }


def _line(result: EpisodeResult) -> dict[str, Any]:
    left_out = ("agent", "decisions", "attempts", "seconds", "info")
    return {name: value for name, value in result.to_json().items() if name not in left_out}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
