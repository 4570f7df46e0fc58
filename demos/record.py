"""Record an agent's successful episodes: states first at full physics speed, images afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from playloop.cli.selection import select_tasks
from playloop.demos.assemble import assemble
from playloop.demos.rendering import render_episodes
from playloop.demos.trace import FrameRecorder, TraceRecorder, trace_path
from playloop.envs.episode import FRESH, Episode
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.driver import Driver
from playloop.rollouts.progress import ProgressBar
from playloop.rollouts.store import EpisodeStore

ATTEMPTS_PER_EPISODE = 3
"""An agent that succeeds less often than once in so many tries is not worth recording."""


@dataclass
class Recording:
    """One `playloop record`: what is recorded, where, and how many.

    Args:
        env: settings of the environment.
        agent: who acts.
        tasks: task numbers.
        episodes: successful episodes wanted of each task.
        seed: placements follow from it.
        stride: every so many steps become a row of the data set with images; 1 records all of them.
        out: the data set's folder.
        workers: processes.
        command: the command line, for the record.
    """

    env: Any
    agent: Any
    tasks: list[int]
    episodes: int
    seed: int
    stride: int
    out: Path
    workers: int
    command: str

    def candidate(self, task: int, number: int) -> Episode:
        """The number-th fresh placement of a task. Stored initial states are the test set: never used."""
        return Episode(self.env.suite, task, FRESH, self.seed * 1_000_000 + number)


def record(config: DictConfig) -> Path:
    """Carry out `playloop record`; a killed one continues where it was.

    Raises:
        ValueError: a bad setting, other settings in the same folder, or an agent that hardly ever succeeds.
        FileExistsError: the data set is already complete.
    """
    recording = _plan(config)
    if (recording.out / "meta" / "info.json").exists():
        raise FileExistsError(f"{recording.out} is already a whole data set; choose another out=DIR")
    console = Console()
    kept = _act(recording, _identity(config), console)
    render_episodes(recording.env, kept, recording.out, recording.stride, recording.workers, console)
    return assemble(recording, kept)


def _plan(config: DictConfig) -> Recording:
    env, agent = instantiate(config.env), instantiate(config.agent).make()
    agent.prepare(env.contract())
    tasks = select_tasks(config, env.task_names())
    tasks = list(range(len(env.task_names()))) if tasks is None else tasks
    if config.episodes < len(tasks) or config.stride < 1:
        raise ValueError(
            f"episodes must be at least one for each of {len(tasks)} tasks, and stride at least 1"
        )
    each = -(-config.episodes // len(tasks))
    command = str(config.get("command", ""))
    return Recording(
        env, agent, tasks, each, config.seed, config.stride, Path(config.out), config.workers, command
    )


def _identity(config: DictConfig) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return {name: plain[name] for name in ("env", "agent", "seed", "stride")}


def _act(recording: Recording, identity: dict[str, Any], console: Console) -> list[Episode]:
    """Run candidates, in rounds, until every task has its successes: the first by number, not by time."""
    store = EpisodeStore(recording.out, identity)
    try:
        watchers = [*_recorders(recording), store]
        driver = Driver(recording.env, recording.workers, watchers)
        for _ in range(10):
            missing = _missing(recording, store)
            if not missing:
                break
            progress = ProgressBar(store.results().values(), console)
            driver.callbacks = [*watchers, progress]
            driver.run(recording.agent, missing, done=len(store.done()))
        return [episode for task in recording.tasks for episode in _successes(recording, store, task)]
    finally:
        store.close()


def _recorders(recording: Recording) -> list[Callback]:
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


def _missing(recording: Recording, store: EpisodeStore) -> list[Episode]:
    """The next candidates of every task that still lacks successes."""
    found = []
    results = store.results()
    for task in recording.tasks:
        lacking = recording.episodes - len(_successes(recording, store, task))
        untried = (
            recording.candidate(task, number) for number in range(recording.episodes * ATTEMPTS_PER_EPISODE)
        )
        fresh = [episode for episode in untried if episode not in results]
        if lacking > len(fresh):
            raise ValueError(
                f"the agent failed too often in task {task}; look at {recording.out}/episodes.jsonl"
            )
        found += fresh[:lacking]
    return found


def _successes(recording: Recording, store: EpisodeStore, task: int) -> list[Episode]:
    results = store.results()
    candidates = [recording.candidate(task, n) for n in range(recording.episodes * ATTEMPTS_PER_EPISODE)]
    good = [
        e for e in candidates if e in results and results[e].success and trace_path(recording.out, e).exists()
    ]
    return good[: recording.episodes]
