"""A comparison of evaluations as a page: who is better by how much, and the episodes that tell them apart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playloop.core.episode import FRESH, Episode
from playloop.core.files import read_json
from playloop.core.results import EpisodeResult
from playloop.core.statistics import Pairs
from playloop.rollouts.commands import films_command
from playloop.rollouts.compare import Comparison
from playloop.rollouts.page import write_page
from playloop.rollouts.report import MARKS, eval_command
from playloop.rollouts.selection import by_task
from playloop.rollouts.strips import data_uri, encoded, filmstrip
from playloop.rollouts.summary import difference_of, rate
from playloop.rollouts.video import outcome_of, video_name

MAX_EPISODES, FRAMES = 24, 4
"""Episodes with pictures, and frames of each video."""


@dataclass(frozen=True)
class Run:
    """One of the evaluations, as the page tells of it."""

    letter: str
    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Its `summary.json`; empty where it was not run to its end."""
        path = self.folder / "summary.json"
        return read_json(path, "delete it and repeat the evaluation") if path.is_file() else {}

    def video(self, result: EpisodeResult) -> Path:
        """Where the video of an episode is, if there is one."""
        return self.folder / "videos" / video_name(result.episode, outcome_of(result))

    def films(self, results: list[EpisodeResult]) -> tuple[int, str] | None:
        """How many of these episodes have no video, and what films them; None where nothing is to be done."""
        lacking = [result.episode.key for result in results if not self.video(result).is_file()]
        contract = self.summary.get("result", {}).get("contract", {})
        if not lacking or not contract.get("deterministic", True) or not self.summary:
            return None
        run = self.summary["run"]
        command = films_command(eval_command(run), lacking, str(self.folder), joined="joined" in run)
        return len(lacking), command


def write_comparison(comparison: Comparison, path: Path, command: str = "") -> Path:
    """Write the page; links to videos are relative to it.

    Args:
        comparison: what `compare` gives.
        path: of the HTML file; its folder is made.
        command: for the record.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = [
        Run(letter, Path(name)) for letter, name in zip(comparison.letters, comparison.names, strict=True)
    ]
    names = _instructions(runs)
    differing = comparison.differing()
    shown = [comparison.results[episode] for episode in differing[:MAX_EPISODES]]
    films = [run.films([results[number] for results in shown]) for number, run in enumerate(runs)]
    return write_page(
        path,
        "comparison.html.jinja",
        runs=[_told(run, comparison, number) for number, run in enumerate(runs)],
        matrix=_matrix(comparison),
        tasks=_tasks(comparison, names),
        marks=MARKS,
        episodes=[_shown(comparison, runs, episode, names, path) for episode in differing[:MAX_EPISODES]],
        more=differing[MAX_EPISODES:],
        shared=len(comparison.results),
        differing=len(differing),
        films=[(run.letter, *found) for run, found in zip(runs, films, strict=True) if found],
        left_out=comparison.left_out(),
        run={"provenance": {"command": command}},
        records={f"{run.letter}: {run.folder}": run.summary.get("run", {}).get("config") for run in runs},
    )


def _told(run: Run, comparison: Comparison, number: int) -> dict[str, Any]:
    results = [runs[number] for runs in comparison.results.values()]
    agent = run.summary.get("run", {}).get("agent") or next((r.agent for r in results if r.agent), None)
    return {"letter": run.letter, "folder": str(run.folder), "agent": agent, "rate": rate(results)}


def _instructions(runs: list[Run]) -> dict[tuple[str, int], str]:
    tasks = (task for run in runs for task in run.summary.get("result", {}).get("tasks", []))
    return {(task["suite"], task["task"]): task["instruction"] for task in tasks}


def _matrix(comparison: Comparison) -> list[list[dict[str, Any] | None]]:
    """Row minus column, p by Holm's correction."""
    ps = comparison.tests()

    def cell(row: int, column: int) -> dict[str, Any] | None:
        if row == column:
            return None
        p = ps[min(row, column), max(row, column)]
        return difference_of(comparison.pairs(row, column)) | {"p": p}

    every = range(len(comparison.names))
    return [[cell(row, column) for column in every] for row in every]


def _tasks(comparison: Comparison, names: dict[tuple[str, int], str]) -> list[dict[str, Any]]:
    """A row a task: pairs, the rate of each run, and of two their difference."""
    count, found = len(comparison.names), []
    for (suite, task), episodes in [*by_task(sorted(comparison.results)).items(), (("", -1), None)]:
        chosen = list(comparison.results) if episodes is None else episodes
        two: Pairs | None = comparison.pairs(0, 1, chosen) if count == 2 else None
        found.append(
            {
                "task": task,
                "name": names.get((suite, task), suite) if episodes else "All tasks",
                "pairs": len(chosen),
                "rates": [comparison.successes(run, chosen) / len(chosen) for run in range(count)],
                "difference": difference_of(two) if two else None,
            }
        )
    return found


def _shown(
    comparison: Comparison, runs: list[Run], episode: Episode, names: dict[tuple[str, int], str], path: Path
) -> dict[str, Any]:
    """One episode beside itself, a cell a run."""
    cells = []
    for run, result in zip(runs, comparison.results[episode], strict=True):
        video = run.video(result)
        there = video.is_file()
        strip = encoded(filmstrip(video, FRAMES), "JPEG", quality=80) if there else None
        cells.append(
            {
                "letter": run.letter,
                "outcome": outcome_of(result),
                "steps": result.steps,
                "video": quote(os.path.relpath(video, path.parent)) if there else None,
                "picture": data_uri(strip, "jpeg") if strip else None,
            }
        )
    return {
        "task": episode.task,
        "name": names.get((episode.suite, episode.task), episode.suite),
        "init": "new" if episode.init == FRESH else episode.init,
        "seed": episode.seed,
        "cells": cells,
    }
