"""What the settings of an environment promise: everything that is known before, and without, building it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from playloop.core.contract import Contract
from playloop.core.episode import FRESH, Episode, choose_episodes
from playloop.core.results import EpisodeResult
from playloop.core.statistics import Average
from playloop.envs.base import PlayEnv


class EnvConfig(ABC):
    """Base class of the settings of all environments; a subclass is a dataclass right above its environment.

    Three methods, `suite` and `inits` are a family's to write. The others have an answer that serves most
    families. `check_env_config` says what is missing or does not fit together.
    """

    suite: str
    """First part of an episode's identity; a setting where a family has several suites."""
    inits: int = 1
    """Initial states of every task in the protocol."""
    endless = False
    """Initial states are drawn from their number: there are more than the protocol's."""

    @abstractmethod
    def make(self) -> PlayEnv:
        """Build the environment."""

    @abstractmethod
    def contract(self) -> Contract:
        """Its conventions, without building anything."""

    @abstractmethod
    def task_names(self) -> list[str]:
        """The name or instruction of every task, in the order of their numbers."""

    def episodes(
        self, tasks: list[int] | None = None, inits: list[int] | int | None = None, seed: int = 0
    ) -> list[Episode]:
        """Episodes of the chosen tasks and initial states, task by task.

        Args:
            tasks: numbers; None for all.
            inits: numbers of initial states, or the first so many; None for the protocol's.
            seed: of the run.

        Raises:
            ValueError: a number is none of the suite's.
        """
        return choose_episodes(
            self.suite, (len(self.task_names()), self.inits), tasks, inits, seed, self.endless
        )

    def task_of(self, episode: Episode) -> int:
        """The number of an episode's task.

        Raises:
            ValueError: it is none of these settings'.
        """
        tasks = len(self.task_names())
        if episode.suite != self.suite or not 0 <= episode.task < tasks:
            raise ValueError(
                f"no {episode.suite} task {episode.task}: {self.suite} has tasks 0 to {tasks - 1}"
            )
        return episode.task

    def departures(self, *names: str) -> list[str]:
        """Those of these settings that are not their default, NAME=VALUE: what departs from a protocol."""
        return [
            f"{name}={getattr(self, name)}"
            for name in names
            if getattr(self, name) != getattr(type(self), name)
        ]

    def fresh_episode(self, task: int, seed: int) -> Episode:
        """An episode that is none of the protocol's, its placement drawn from the seed; for recording."""
        return Episode(self.suite, task, FRESH, seed)

    def unique_names(self) -> list[str]:
        """The tasks' names where instructions are shared; each names one task."""
        return self.task_names()

    def averages(self, results: Sequence[EpisodeResult]) -> list[Average]:
        """Averages as the benchmark publishes them, of judged episodes; none for most."""
        return []

    def check(self) -> None:  # noqa: B027 (most families have nothing to check)
        """Refuse what cannot be run or played, before anything large is read.

        Raises:
            ValueError: says which setting.
            FileNotFoundError: a file is missing.
        """

    def provenance(self) -> dict[str, Any]:
        """Hashes of files that decide the states, besides the settings."""
        return {}

    def title(self) -> str:
        """The heading of the environment on the page of play."""
        return self.contract().family

    def idle_buttons(self) -> tuple[str, ...]:
        """Names of actions that do nothing here, for which a person gets no keys."""
        return ()


def check_env_config(config: Any) -> None:
    """Refuse settings that do not keep what `EnvConfig` promises. Nothing is built.

    Raises:
        TypeError: it is not derived from `EnvConfig`, or a method returns another type.
        ValueError: its parts do not fit together.
    """
    name = type(config).__name__
    if not isinstance(config, EnvConfig):
        raise TypeError(
            f"{name} is not derived from playloop.envs.config.EnvConfig; write class {name}(EnvConfig)"
        )
    if not isinstance(getattr(config, "suite", None), str) or not config.suite:
        raise TypeError(f'{name} has no suite; write suite = "…", the first part of its episodes\' identity')
    if not isinstance(config.contract(), Contract):
        raise TypeError(f"{name}.contract() must return a playloop.core.contract.Contract")
    for method in (config.task_names, config.unique_names):
        names = method()
        if not isinstance(names, list) or not names or not all(isinstance(task, str) for task in names):
            raise TypeError(f"{name}.{method.__name__}() must return a list with a text for every task")
    if len(config.unique_names()) != len(config.task_names()):
        raise ValueError(f"{name}.unique_names() and task_names() must speak of the same tasks")
    _check_episodes(config, name)


def _check_episodes(config: EnvConfig, name: str) -> None:
    found, tasks = config.episodes(seed=7), len(config.task_names())
    if not isinstance(found, list) or not found or not all(isinstance(episode, Episode) for episode in found):
        raise TypeError(f"{name}.episodes() must return a list of playloop.core.episode.Episode")
    fresh = config.fresh_episode(0, 7)
    for episode in (*found, fresh):
        if episode.suite != config.suite or not 0 <= episode.task < tasks or episode.seed != 7:
            raise ValueError(
                f"{name}.episodes(seed=7) has {episode}: its suite must be {config.suite!r}, its task 0 to "
                f"{tasks - 1}, its seed 7"
            )
    if len(set(found)) < len(found) or fresh in found:
        raise ValueError(f"{name}.episodes() names an episode twice, or one that fresh_episode() gives")
    first = config.episodes(tasks=[found[0].task], inits=1, seed=7)
    if len(first) != 1 or first[0].task != found[0].task:
        raise ValueError(
            f"{name}.episodes(tasks=[{found[0].task}], inits=1) must be the first episode of that task, "
            f"got {first}"
        )
