"""Why episodes could not be judged: each reason once, with how many it holds for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playloop.rollouts.record import EpisodeResult

BLAMED = {"agent": "the agent failed: ", "environment": "the environment failed: ", None: ""}
"""Whose error → how to begin to say it."""


def reasons(results: Sequence[EpisodeResult]) -> list[dict[str, Any]]:
    """The reasons of the errors among some results, JSON-able, the most frequent first.

    Each has "fault", "error", the number of "episodes" and the key of the "first".
    """
    found: dict[tuple[str | None, str], list[str]] = {}
    for result in results:
        if result.error is not None:
            found.setdefault((result.fault, result.error), []).append(result.episode.key)
    return [
        {"fault": fault, "error": error, "episodes": len(keys), "first": keys[0]}
        for (fault, error), keys in sorted(found.items(), key=lambda item: -len(item[1]))
    ]


def all_errors(results: Sequence[EpisodeResult]) -> str:
    """One sentence, with the commonest reason, if there are results and all are errors; else empty."""
    if not results or any(result.error is None for result in results):
        return ""
    first = reasons(results)[0]
    rest = len(results) - first["episodes"]
    others = f" ({rest} for other reasons, see episodes.jsonl)" if rest else ""
    return (
        f"no episode could be judged; in {first['episodes']} of {len(results)} "
        f"{BLAMED[first['fault']]}{first['error']}{others}"
    )
