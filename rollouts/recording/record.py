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

from playloop.core.content import provenance_of
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.fields import make, plain, recorded
from playloop.core.locks import FolderLock
from playloop.envs.config import EnvConfig
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.driver import Driver
from playloop.rollouts.progress import ProgressBar
from playloop.rollouts.recording.dataset import RecordedEpisode, stored_columns, write_dataset
from playloop.rollouts.recording.rendering import render_episodes
from playloop.rollouts.recording.trace import FrameRecorder, TraceRecorder, trace_path, video_path
from playloop.rollouts.selection import select_tasks
from playloop.rollouts.store import EpisodeStore, read_results

ATTEMPTS_PER_EPISODE = 3
"""An agent that succeeds less often than once in so many tries is not worth recording."""


@dataclass
class RecordingPlan:
    """One `playloop record`: what is recorded, where, and how many.

    Args:
        env: settings of the environment.
        agent: who acts.
        wanted: number of a task → successful episodes wanted of it.
        seed: placements follow from it.
        stride: every so many steps become a row of the data set with images; 1 records all of them.
        out: the data set's folder.
        workers: processes.
        step_timeout: seconds without an answer after which an environment counts as dead.
        command: the command line, for the record.
    """

    env: EnvConfig
    agent: Any
    wanted: dict[int, int]
    seed: int
    stride: int
    out: Path
    workers: int
    step_timeout: float
    command: str

    def candidates(self, task: int) -> list[Episode]:
        """Fresh placements of a task that may be tried, in order; more wanted episodes add to the end.

        Stored initial states are the test set: never used.
        """
        numbers = range(self.wanted[task] * ATTEMPTS_PER_EPISODE)
        return [self.env.fresh_episode(task, self.seed * 1_000_000 + number) for number in numbers]

    def provenance(self) -> dict[str, Any]:
        """What acts, by the agent's own account: a checkpoint with its hash, for instance."""
        return self.agent.provenance() if hasattr(self.agent, "provenance") else {}

    def is_kept(self, episode: Episode) -> bool:
        """Whether what a success left is still there."""
        paths = [trace_path(self.out, episode)]
        contract = self.env.contract()
        if not contract.restorable:
            paths += [video_path(self.out, episode, camera) for camera in contract.cameras]
        return all(path.exists() for path in paths)


def record(config: DictConfig) -> Path:
    """Carry out `playloop record`; a killed one continues where it was.

    The folder is locked from before the first write to after the last.

    Raises:
        ValueError: a bad setting, other settings in the same folder, or an agent that hardly ever succeeds.
        FileExistsError: the data set is already complete.
        BlockingIOError: another process is writing to the folder.
    """
    out = Path(config.out)
    if _is_whole(out):  # before a checkpoint is loaded
        _refuse_whole(out)
    recording, console = _plan(config), Console()
    with FolderLock(out, "playloop record") as lock:
        if _is_whole(out):
            _refuse_whole(out)
        if said := described(recording.wanted):
            console.print(said, highlight=False)
        kept = _act(recording, _identity(config, recording), lock, console)
        render_episodes(recording.env, kept, out, recording.stride, recording.workers, console)
        return _assemble(recording, kept)


def spread(episodes: int, tasks: Sequence[int]) -> dict[int, int]:
    """Episodes of each task that add up to `episodes`, as even as can be; the first tasks have one more."""
    each, more = divmod(episodes, len(tasks))
    return {task: each + (index < more) for index, task in enumerate(tasks)}


def described(wanted: dict[int, int]) -> str:
    """Which tasks have how many episodes, where that is not the same for all; else nothing."""
    if len(set(wanted.values())) == 1:
        return ""
    parts = [
        f"{count or 'none'} of each of the tasks {', '.join(str(task) for task, _ in same)}"
        for count, same in groupby(wanted.items(), key=lambda item: item[1])
    ]
    return f"Recording {sum(wanted.values())} episodes: {'; '.join(parts)}. Choose others with tasks=[…]."


def _is_whole(out: Path) -> bool:
    return (out / "meta" / "info.json").exists()


def _refuse_whole(out: Path) -> None:
    raise FileExistsError(f"{out} is already a whole data set; choose another out=DIR")


def _plan(config: DictConfig) -> RecordingPlan:
    for name in ("episodes", "stride"):
        if config[name] < 1:
            raise ValueError(f"{name}={config[name]}: must be at least 1")
    env, agent = make(config.env), make(config.agent)
    tasks = select_tasks(config, env)
    tasks = list(range(len(env.task_names()))) if tasks is None else tasks
    agent = agent.make()
    agent.prepare(env.contract())
    return RecordingPlan(
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


def _identity(config: DictConfig, recording: RecordingPlan) -> dict[str, Any]:
    """All that can change a row: settings, and what acts where the settings only say where it lies."""
    used = recorded(plain(config))
    settings = {name: used[name] for name in ("env", "agent", "seed", "stride")}
    acts = provenance_of(recording.agent, used["agent"])
    return settings | ({"acts": acts} if acts else {})


def _act(
    recording: RecordingPlan, identity: dict[str, Any], lock: FolderLock, console: Console
) -> list[Episode]:
    """Run candidates, in rounds, until every task has its successes: the first by number, not by time."""
    store = EpisodeStore(recording.out, identity, lock)
    try:
        watchers = [*_recorders(recording), store]
        driver = Driver(recording.env, recording.workers, watchers, recording.step_timeout)
        attempted: set[Episode] = set()
        while missing := _missing(recording, store, attempted):
            progress = ProgressBar(store.results().values(), console)
            driver.callbacks = [*watchers, progress]
            driver.run(recording.agent, missing, done=len(store.done()))
            attempted |= set(missing)
        return [episode for task in recording.wanted for episode in _successes(recording, store, task)]
    finally:
        store.close()


def _recorders(recording: RecordingPlan) -> list[Callback]:
    """What is kept of an episode: states to draw later, or images where there is no way back to a state."""
    contract = recording.env.contract()
    if contract.restorable:
        return [TraceRecorder(recording.out, contract)]
    rate = contract.control_hz / recording.stride
    # Frames first: an episode counts as recorded when its trace is there.
    return [
        FrameRecorder(recording.out, rate, recording.stride),
        TraceRecorder(recording.out, contract),
    ]


def _missing(recording: RecordingPlan, store: EpisodeStore, attempted: set[Episode]) -> list[Episode]:
    """The next candidates of every task that still lacks successes.

    An episode that ended in an error runs again when the command is repeated, not before.

    Raises:
        ValueError: a task has no candidates left; says what became of them.
    """
    found = []
    results = store.results()
    tried = attempted | {e for e in store.done() if not results[e].success or recording.is_kept(e)}
    for task, wanted in recording.wanted.items():
        lacking = wanted - len(_successes(recording, store, task))
        fresh = [episode for episode in recording.candidates(task) if episode not in tried]
        if lacking > len(fresh):
            raise ValueError(_why_not(recording, store, task))
        found += fresh[:lacking]
    return found


def _successes(recording: RecordingPlan, store: EpisodeStore, task: int) -> list[Episode]:
    results, candidates = store.results(), recording.candidates(task)
    good = [e for e in candidates if e in results and results[e].success and recording.is_kept(e)]
    return good[: recording.wanted[task]]


def _why_not(recording: RecordingPlan, store: EpisodeStore, task: int) -> str:
    """What became of the candidates of a task that were not enough."""
    known = store.results()
    results = [known[episode] for episode in recording.candidates(task) if episode in known]
    errors = [result.error for result in results if result.error is not None]
    failed = sum(not result.success for result in results) - len(errors)
    said = (
        f"task {task} has {len(_successes(recording, store, task))} of {recording.wanted[task]} successful "
        f"episodes after {len(results)} tries: {failed} failed, {len(errors)} ended in an error"
    )
    if errors:
        return f"{said}, the last one in: {errors[-1]}; mend that and repeat the command, they run again"
    return f"{said}; choose another agent, or leave the task out with tasks=[…]"


def _assemble(recording: RecordingPlan, episodes: list[Episode]) -> Path:
    """Write the data set and, once it is whole, remove the traces and frames it was made of."""
    contract, out = recording.env.contract(), recording.out
    with np.load(trace_path(out, episodes[0]), allow_pickle=False) as trace:
        labelled = "target" in trace
    results = [result for result in read_results(out) if result.error is None]
    failed = sum(not result.success for result in results)
    facts = {
        "command": recording.command,
        "acts": recording.provenance(),
        "seed": recording.seed,
        "stride": recording.stride,
        "counts": {"kept": len(episodes), "tried": len(results), "failed": failed},
    }
    found = (_traced(recording, contract, episode) for episode in episodes)
    write_dataset(out, contract, contract.control_hz / recording.stride, found, facts, labelled)
    for scratch in ("traces", "frames"):
        shutil.rmtree(out / scratch, ignore_errors=True)
    return out


def _traced(recording: RecordingPlan, contract: Contract, episode: Episode) -> RecordedEpisode:
    videos = {camera: video_path(recording.out, episode, camera) for camera in contract.cameras}
    with np.load(trace_path(recording.out, episode), allow_pickle=False) as trace:
        columns = stored_columns(trace, recording.stride)
        return RecordedEpisode(episode, str(trace["instruction"]), columns, videos)
