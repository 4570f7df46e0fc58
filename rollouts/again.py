"""Finished episodes run once more, for what was not kept of them: their pictures, their actions.

Where a result follows from the episode's identity, the second run is the first one again; an episode that
ends otherwise is told, and nothing of it is kept.

This is also how failures are filmed. Which episodes fail is known at their end, and to film is to render
every step instead of one in eight (LIBERO, the shipped policy): on two cores four episodes cost 3 times the
CPU seconds with videos (91 against 32, the start included). To film all and drop the successes is
therefore the dearer way unless more than about two thirds fail, and a policy worth filming does better. Where
results do not repeat, all are filmed and successes dropped: there is no other way.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from playloop.agents.base import Agent
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import remove_empty, write_atomic
from playloop.core.results import EpisodeResult
from playloop.core.segment import Segment
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.driver import Driver
from playloop.rollouts.progress import LiveLine
from playloop.rollouts.video import VideoRecorder, outcome_of, video_name


def repeats(contract: Contract, agent: Any) -> bool:
    """Whether an episode is the same when it is run again."""
    return contract.deterministic and getattr(agent, "repeatable", True)


def unfilmed(
    folder: Path, results: Iterable[EpisodeResult], chosen: set[Episode], kept: Iterable[str]
) -> list[EpisodeResult]:
    """Results whose video is wanted and not there."""
    return [
        result
        for result in results
        if result.episode in chosen
        and result.error is None
        and (outcome := outcome_of(result)) in kept
        and not (folder / video_name(result.episode, outcome)).is_file()
    ]


def film(
    driver: Driver, agent: Agent, results: list[EpisodeResult], folder: Path, console: Console
) -> list[str]:
    """Film finished episodes; returns the keys of those that ended otherwise and have no video."""
    if not results:
        return []
    episodes = [result.episode for result in results]
    recorder = AgainRecorder(folder, results, driver.env.contract().control_hz)
    driver.callbacks = [recorder, Count("filming", console)]
    driver.run(agent, episodes)
    for key in recorder.changed:
        console.print(f"{key} ended otherwise when it was run again to be filmed: no video of it is kept")
    return recorder.changed


class AgainRecorder(VideoRecorder):
    """Keeps the videos of episodes that end as they did."""

    def __init__(self, folder: Path, results: Iterable[EpisodeResult], fps: float):
        self.results = {result.episode: result for result in results}
        self.changed: list[str] = []
        super().__init__(folder, self.results, fps)

    def on_end(self, result: EpisodeResult) -> None:
        if _outcome(result) == _outcome(self.results[result.episode]):
            return super().on_end(result)
        self.changed.append(result.episode.key)
        self.discard(result.episode)


def _outcome(result: EpisodeResult) -> tuple[Any, ...]:
    return result.error, result.success, result.steps, result.return_


class Count(Callback):
    """A line that counts episodes and nothing else."""

    def __init__(self, noun: str, console: Console):
        self.noun, self.console = noun, console

    def on_start(self, total: int, done: int) -> None:
        self._line = LiveLine(self.noun, total, done, self.console)

    def on_end(self, result: EpisodeResult) -> None:
        self._line.show(self._line.left, 1)

    def on_close(self) -> None:
        self._line.stop()


class ActionRecorder(Callback):
    """Writes `<episode's key>.npz` with an array `actions` [T, A], as `agent=replay` reads them."""

    def __init__(self, folder: Path, chosen: Iterable[Episode]):
        self.folder, self.chosen = Path(folder), frozenset(chosen)
        self._actions: dict[Episode, list[np.ndarray]] = {}

    def path(self, episode: Episode) -> Path:
        """Where an episode's actions are."""
        return self.folder / f"{episode.key}.npz"

    def on_start(self, total: int, done: int) -> None:
        if self.chosen:
            self.folder.mkdir(parents=True, exist_ok=True)

    def on_close(self) -> None:
        remove_empty(self.folder, self.folder.parent)

    def on_begin(self, episode: Episode) -> None:
        self._actions[episode] = []

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        if episode in self.chosen:
            self._actions[episode].append(segment.actions)

    def on_end(self, result: EpisodeResult) -> None:
        parts = self._actions.pop(result.episode, [])
        if parts and result.error is None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, actions=np.concatenate(parts))
            write_atomic(self.path(result.episode), buffer.getvalue())
