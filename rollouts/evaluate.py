"""`playloop eval` without its command line: run what is missing, then count, film and report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from playloop.agents.acting import as_agent
from playloop.agents.base import Agent, Plan
from playloop.core.content import provenance_of
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import write_atomic, write_json
from playloop.core.formats import FORMAT
from playloop.core.provenance import earlier_run, name_of, this_run
from playloop.core.results import EpisodeResult
from playloop.envs.config import EnvConfig
from playloop.rollouts.again import ActionRecorder, film, repeats, unfilmed
from playloop.rollouts.control import ControlArm, arm_folder, summarize_control
from playloop.rollouts.driver import STEP_TIMEOUT, Driver
from playloop.rollouts.progress import PATIENCE, ProgressBar, announced, new_console
from playloop.rollouts.report import average_lines, control_lines, result_table, server_lines, write_report
from playloop.rollouts.store import EPISODES, EpisodeStore, read_results
from playloop.rollouts.strips import beside, encoded
from playloop.rollouts.summary import summarize, timing
from playloop.rollouts.video import FAILURES, OUTCOMES, VideoRecorder, choose_videos

SUMMARY = "summary.json"
SELECTING = ("task", "tasks", "inits", "episodes")
HARMLESS = (*SELECTING, "shard", "control", "workers", "videos", "out", "step_timeout")
"""Settings that change which episodes run or how they are watched, never what an episode gives."""


def evaluate(
    env: EnvConfig,
    agent: Any,
    episodes: Sequence[Episode],
    out: Path | str,
    workers: int = 2,
    videos: int | str | Iterable[str] = "none",
    config: dict[str, Any] | None = None,
    command: str = "",
    console: Console | None = None,
    step_timeout: float = STEP_TIMEOUT,
    controls: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate an agent on episodes; a repeated call with the same folder runs only what is missing.

    Args:
        env: settings of the environment.
        agent: an agent, or settings with `make()`.
        episodes: their identities.
        out: folder of `episodes.jsonl`, `summary.json`, `report.html` and `videos/`.
        workers: processes; no influence on the result.
        videos: see `choose_videos`.
        config: all settings, for the record and to notice that a folder belongs to other settings.
        command: for the record.
        console: where progress and the table are shown.
        step_timeout: seconds without an answer after which an environment counts as dead.
        controls: who is judged beside the agent, see `rollouts.control.MEANINGS`.

    Returns:
        The summary: "result" follows from the episodes alone; "run" tells how, when and where.

    Raises:
        ValueError: the agent does not fit, or the folder has another configuration or a damaged file.
        BlockingIOError: another process writes to it.
    """
    out, console, contract = Path(out), console or new_console(), env.contract()
    with announced("loading the agent", PATIENCE):
        agent = _ready(agent, contract, console)
        identity = _identity(config or {}, contract, agent, env)
    filming = _Filming(out / "videos", choose_videos(episodes, videos), videos == FAILURES)
    arms = [ControlArm(name, out, env, episodes) for name in controls]
    store = EpisodeStore(out, identity)
    try:
        before = earlier_run(out / SUMMARY, EPISODES)
        again = repeats(contract, agent)
        driver = Driver(env, workers, _keepers(filming, arms, contract, again), step_timeout)
        session = _run_missing(driver, agent, store, episodes, console)
        film(driver, agent, filming.missing(store.results(), episodes, again), filming.folder, console)
        acted = [arm.run(driver, agent, identity, console) for arm in arms]
        result = summarize(store.results().values(), episodes, env.task_names(), contract, env.averages)
        result |= compared(out, controls, store.results(), episodes, contract)
        result |= {} if getattr(agent, "repeatable", True) else {"repeatable": False}
        made = {"agent": name_of(agent), "environment": name_of(env), "agent_provenance": identity["agent"]}
        run = made | {"config": config or {}} | this_run(command, before, session, (env, agent))
        if not session and not any(acted) and before:
            run = before  # a repeat that ran nothing keeps the record of who ran it
        return show_result(out, {"format": FORMAT, "result": result, "run": run}, console)
    finally:
        store.withdraw()
        store.close()


def _ready(given: Any, contract: Contract, console: Console) -> Agent:
    """Whoever acts, prepared; says what is translated for it."""
    agent = as_agent(given)
    agent.prepare(contract)
    for label, line in getattr(agent, "described", list)():
        console.print(f"{label}: {line}", highlight=False, markup=False)
    return agent


def show_result(out: Path, summary: dict[str, Any], console: Console) -> dict[str, Any]:
    """Write the summary and the report, and print the table; returns the summary."""
    write_json(out / SUMMARY, summary)
    write_report(out, summary)
    result = summary["result"]
    lines = [*average_lines(result), *control_lines(result), *server_lines(summary)]
    console.print(result_table(result), *lines, sep="\n")
    return summary


@dataclass(frozen=True)
class _Filming:
    """Whose videos are wanted: of chosen episodes, all or those that fail."""

    folder: Path
    chosen: set[Episode]
    failures: bool

    @property
    def kept(self) -> tuple[str, ...]:
        return ("failure",) if self.failures else OUTCOMES

    def missing(
        self, results: dict[Episode, EpisodeResult], episodes: Sequence[Episode], again: bool
    ) -> list[EpisodeResult]:
        """Results to be filmed `again`; none where nothing repeats."""
        if not again:
            return []
        found = [results[episode] for episode in episodes if episode in results]
        return unfilmed(self.folder, found, self.chosen, self.kept)


def _keepers(
    filming: _Filming, arms: Sequence[ControlArm], contract: Contract, repeated: bool
) -> list[VideoRecorder | ActionRecorder]:
    """What is kept of episodes while they run; failures are filmed afterwards where that can be."""
    now = set() if filming.failures and repeated else filming.chosen
    recorder = VideoRecorder(filming.folder, now, contract.control_hz, filming.kept)
    return [recorder, *(arm.actions for arm in arms)]


def compared(
    out: Path,
    controls: Sequence[str],
    results: dict[Episode, EpisodeResult],
    episodes: Sequence[Episode],
    contract: Contract,
) -> dict[str, Any]:
    """The control arms in a folder as a part of a result; nothing where there are none."""
    if not controls:
        return {}
    read = {name: {r.episode: r for r in read_results(arm_folder(out, name))} for name in controls}
    return {
        "controls": [
            summarize_control(name, arm, results, episodes, contract.partial) for name, arm in read.items()
        ]
    }


def _run_missing(
    driver: Driver, agent: Agent, store: EpisodeStore, episodes: Sequence[Episode], console: Console
) -> dict[str, Any] | None:
    """Run what the store lacks; how long that took, None if nothing was missing."""
    for note in store.notes:
        console.print(note)
    done = store.done()
    missing = [episode for episode in episodes if episode not in done]
    if not missing:
        return None
    earlier = [r for e, r in store.results().items() if e in done and e in set(episodes)]
    # The recorder comes before the store: an episode is done only when its video has its name.
    driver.callbacks = [*driver.callbacks, store, ProgressBar(earlier, console)]
    looks: Any = _FirstLook(agent, store.folder / "first_observation.png")
    start = time.monotonic()
    results = driver.run(looks, missing, done=len(earlier))
    return timing(results, time.monotonic() - start, driver.workers) | _asked(agent, results)


def _asked(agent: Agent, results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """How a server answered, and how many episodes were begun anew; nothing of an agent in this process."""
    if not hasattr(agent, "session"):
        return {}
    return {"server": {**agent.session(), "episodes_repeated": sum(r.attempts > 1 for r in results)}}


class _FirstLook:
    """Passes everything to an agent and saves what it sees first, to catch a wrong camera by eye.

    An agent that transforms its images may offer `view(observation) -> {name: uint8 [H, W, 3]}`.
    """

    def __init__(self, agent: Agent, path: Path):
        self.agent, self.path, self.name = agent, path, name_of(agent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.agent, name)

    def act(
        self, carries: list[Any], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Any], list[Plan]]:
        if not self.path.exists() and "images" in self.agent.reads:
            view = getattr(self.agent, "view", lambda observation: observation["images"])
            write_atomic(self.path, encoded(beside(list(view(observations[0]).values()), gap=4)))
        return self.agent.act(carries, observations, rngs)


def _identity(config: dict[str, Any], contract: Contract, agent: Any, env: EnvConfig) -> dict[str, Any]:
    """All that can change the result of an episode."""
    kept = {name: value for name, value in config.items() if name not in HARMLESS}
    if isinstance(asked := kept.get("agent"), dict):
        harmless = getattr(agent, "harmless", ())
        kept["agent"] = {name: value for name, value in asked.items() if name not in harmless}
    acting, decided = provenance_of(agent, config.get("agent")), env.provenance()
    found = {"config": kept, "contract": contract.to_json(), "agent": acting}
    return found | ({"env": decided} if decided else {})
