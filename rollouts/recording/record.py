"""Record an agent's successful episodes: states first at full physics speed, images afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from playloop.agents.acting import as_agent
from playloop.core.content import provenance_of
from playloop.core.episode import Episode
from playloop.core.fields import make, plain, recorded
from playloop.core.locks import NAME, FolderLock
from playloop.core.provenance import name_of
from playloop.envs.config import EnvConfig
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.driver import Driver
from playloop.rollouts.progress import ProgressBar, announced, new_console
from playloop.rollouts.recording.dataset import RecordedEpisode, stored_columns, write_dataset
from playloop.rollouts.recording.rendering import render_episodes
from playloop.rollouts.recording.trace import FrameRecorder, TraceRecorder, trace_path, video_path
from playloop.rollouts.selection import select_tasks
from playloop.rollouts.store import EPISODES, EpisodeStore, read_results

ATTEMPTS_PER_EPISODE = 3
"""An agent that succeeds less often than once in so many tries is not worth recording."""


@dataclass
class Recording:
    """One `playloop record`: what is recorded, where, and how many."""

    env: EnvConfig
    agent: Any
    wanted: dict[int, int]  # number of a task → successful episodes wanted of it
    seed: int
    stride: int
    out: Path
    workers: int
    step_timeout: float
    command: str

    def __post_init__(self) -> None:
        self.contract = self.env.contract()
        self.rate = self.contract.control_hz / self.stride

    def candidates(self, task: int) -> list[Episode]:
        """Fresh placements of a task that may be tried, in order; more wanted episodes add to the end.

        Stored initial states are the test set: never used.
        """
        numbers = range(self.wanted[task] * ATTEMPTS_PER_EPISODE)
        return [self.env.fresh_episode(task, self.seed * 1_000_000 + number) for number in numbers]

    def act(self, identity: dict[str, Any], lock: FolderLock, console: Console) -> list[Episode]:
        """Run candidates, in rounds, until every task has its successes: the first by number, not by time."""
        store = EpisodeStore(self.out, identity, lock)
        try:
            watchers: list[Callback] = [TraceRecorder(self.out, self.contract), store]
            if not self.contract.restorable:
                # Frames first: an episode counts as recorded when its trace is there.
                watchers.insert(0, FrameRecorder(self.out, self.rate, self.stride))
            driver = Driver(self.env, self.workers, watchers, self.step_timeout)
            attempted: set[Episode] = set()
            while missing := self._missing(store, attempted):
                driver.callbacks = [*watchers, ProgressBar(store.results().values(), console)]
                driver.run(self.agent, missing, done=len(store.done()))
                attempted |= set(missing)
            return [episode for task in self.wanted for episode in self._successes(store, task)]
        finally:
            store.withdraw()
            store.close()

    def assemble(self, episodes: list[Episode]) -> Path:
        """Write the data set and, once it is whole, remove the traces and frames it was made of."""
        with np.load(trace_path(self.out, episodes[0]), allow_pickle=False) as trace:
            labelled = "target" in trace
        results = [result for result in read_results(self.out) if result.error is None]
        failed = sum(not result.success for result in results)
        facts = {
            "command": self.command,
            "agent": name_of(self.agent),
            "acts": self.agent.provenance() if hasattr(self.agent, "provenance") else {},
            "seed": self.seed,
            "stride": self.stride,
            "counts": {"kept": len(episodes), "tried": len(results), "failed": failed},
        }
        write_dataset(self.out, self.contract, self.rate, map(self._traced, episodes), facts, labelled)
        for scratch in ("traces", "frames"):
            shutil.rmtree(self.out / scratch, ignore_errors=True)
        return self.out

    def _is_kept(self, episode: Episode) -> bool:
        """Whether what a success left is still there."""
        paths = [trace_path(self.out, episode)]
        if not self.contract.restorable:
            paths += [video_path(self.out, episode, camera) for camera in self.contract.cameras]
        return all(path.exists() for path in paths)

    def _missing(self, store: EpisodeStore, attempted: set[Episode]) -> list[Episode]:
        """The next candidates of every task that still lacks successes.

        An episode that ended in an error runs again when the command is repeated, not before.

        Raises:
            ValueError: a task has no candidates left; says what became of them.
        """
        found, results = [], store.results()
        tried = attempted | {e for e in store.done() if not results[e].success or self._is_kept(e)}
        for task, wanted in self.wanted.items():
            lacking = wanted - len(self._successes(store, task))
            fresh = [episode for episode in self.candidates(task) if episode not in tried]
            if lacking > len(fresh):
                raise ValueError(self._why_not(store, task))
            found += fresh[:lacking]
        return found

    def _successes(self, store: EpisodeStore, task: int) -> list[Episode]:
        results, candidates = store.results(), self.candidates(task)
        good = [e for e in candidates if e in results and results[e].success and self._is_kept(e)]
        return good[: self.wanted[task]]

    def _why_not(self, store: EpisodeStore, task: int) -> str:
        """What became of the candidates of a task that were not enough."""
        known = store.results()
        results = [known[episode] for episode in self.candidates(task) if episode in known]
        errors = [result.error for result in results if result.error is not None]
        failed = sum(not result.success for result in results) - len(errors)
        said = (
            f"task {task} has {len(self._successes(store, task))} of {self.wanted[task]} successful episodes "
            f"after {len(results)} tries: {failed} failed, {len(errors)} ended in an error"
        )
        if errors:
            return f"{said}, the last one in: {errors[-1]}; mend that and repeat the command, they run again"
        return f"{said}; choose another agent, or leave the task out with tasks=[…]"

    def _traced(self, episode: Episode) -> RecordedEpisode:
        videos = {camera: video_path(self.out, episode, camera) for camera in self.contract.cameras}
        with np.load(trace_path(self.out, episode), allow_pickle=False) as trace:
            columns = stored_columns(trace, self.stride)
            return RecordedEpisode(episode, str(trace["instruction"]), columns, videos)


def record(config: DictConfig, agent: Any = None) -> Path:
    """Carry out `playloop record`; a killed one continues where it was.

    The folder is locked from before the first write to after the last.

    Args:
        config: a verb's settings.
        agent: who acts instead of `config.agent`, which then only says who that is.

    Raises:
        ValueError: a bad setting, other settings in the same folder, or an agent that hardly ever succeeds.
        FileExistsError: the data set is already complete, or the folder holds other files.
        BlockingIOError: another process is writing to the folder.
    """
    out = Path(config.out)
    _refuse_whole(out)  # before a checkpoint is loaded
    recording, console = _plan(config, agent), new_console()
    with FolderLock(out, "playloop record") as lock:
        _refuse_whole(out)
        _refuse_foreign(out)
        console.print(described(recording.wanted), highlight=False, markup=False, soft_wrap=True)
        kept = recording.act(_identity(config, recording), lock, console)
        render_episodes(recording.env, kept, out, recording.stride, recording.workers, console)
        with announced("writing the data set"):
            return recording.assemble(kept)


def spread(episodes: int, tasks: Sequence[int]) -> dict[int, int]:
    """Episodes of each task that add up to `episodes`, as even as can be; the first tasks have one more."""
    each, more = divmod(episodes, len(tasks))
    return {task: each + (index < more) for index, task in enumerate(tasks)}


def described(wanted: dict[int, int]) -> str:
    """How many episodes which tasks have, and what to write where some tasks have none.

    >>> described({0: 2, 1: 2, 2: 2, 3: 1})
    'Recording 7 episodes: 2 of each of the tasks 0 to 2; 1 of task 3.'
    """
    parts = []
    for count, same in groupby(wanted.items(), key=lambda item: item[1]):
        tasks = [task for task, _ in same]
        which = f"task {tasks[0]}" if len(tasks) == 1 else f"the tasks {in_words(tasks)}"
        parts.append(f"{count or 'none'} of {'each of ' if count and tasks[1:] else ''}{which}")
    total = sum(wanted.values())
    said = f"Recording {total} episode{'s' * (total != 1)}: {'; '.join(parts)}."
    if min(wanted.values()):
        return said
    return f"{said} Choose others with tasks=[…], or give episodes={len(wanted)} for one of each."


def in_words(numbers: Sequence[int]) -> str:
    """Rising numbers, those that follow each other as a range: "0 to 3, 7"."""
    runs = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    spans = [[number for _, number in run] for _, run in runs]
    return ", ".join(
        f"{span[0]} to {span[-1]}" if len(span) > 2 else ", ".join(map(str, span)) for span in spans
    )


def _refuse_whole(out: Path) -> None:
    if (out / "meta" / "info.json").exists():
        raise FileExistsError(f"{out} is already a whole data set; choose another out=DIR")


def _refuse_foreign(out: Path) -> None:
    """Files of somebody else would lie among those of the data set, or be taken for some."""
    if not out.is_dir() or (out / "config.json").exists() or (out / EPISODES).exists():
        return  # that goes on, or has its own answer
    if names := sorted(path.name for path in out.iterdir() if path.name != NAME):
        several = ", ".join(names[:3]) + (", …" if names[3:] else "")
        raise FileExistsError(
            f"{out} holds other files ({several}); name a new folder with out=DIR, or remove them"
        )


def _plan(config: DictConfig, agent: Any) -> Recording:
    for name in ("episodes", "stride"):
        if config[name] < 1:
            raise ValueError(f"{name}={config[name]}: must be at least 1")
    env, agent = make(config.env), make(config.agent) if agent is None else agent
    tasks = select_tasks(config, env)
    tasks = list(range(len(env.task_names()))) if tasks is None else tasks
    agent = as_agent(agent)
    agent.prepare(env.contract())
    return Recording(
        env=env,
        agent=agent,
        wanted=spread(config.episodes, tasks),
        seed=config.seed,
        stride=config.stride,
        out=Path(config.out),
        workers=config.workers,
        step_timeout=config.step_timeout,
        command=str(config.get("command", "")),
    )


def _identity(config: DictConfig, recording: Recording) -> dict[str, Any]:
    """All that can change a row: settings, and what acts where the settings only say where it lies."""
    used = recorded(plain(config))
    settings = {name: used[name] for name in ("env", "agent", "seed", "stride")}
    acts = provenance_of(recording.agent, used["agent"])
    return settings | ({"acts": acts} if acts else {})
