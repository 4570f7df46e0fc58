"""Which episodes a command line asks for, and episodes by task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from omegaconf import DictConfig

from playloop.core.episode import Episode
from playloop.core.fields import plain
from playloop.core.words import nearest
from playloop.envs.config import EnvConfig


def select_tasks(config: DictConfig, env: EnvConfig) -> list[int] | None:
    """The numbers of `task=` or `tasks=` of a verb's settings, each given by number or name; None for all.

    Raises:
        ValueError: both are given, one names no task of the suite or several, or a task is named twice.
    """
    settings = plain(config)
    single, several = settings.get("task"), settings.get("tasks")
    if single is not None and several is not None:
        raise ValueError("task= and tasks= are both given; keep one.")
    if single is None and several is None:
        return None
    chosen = several if isinstance(several, list) else [single if several is None else several]
    if not chosen:
        raise ValueError("tasks=[] names no task; leave it out for all of the suite.")
    numbers = [task_number(task, env) for task in chosen]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"tasks={chosen} names a task twice (numbers {numbers}); an episode runs once.")
    return numbers


def task_number(task: Any, env: EnvConfig) -> int:
    """The number of a task given by number, instruction or unique name, large and small letters alike.

    Raises:
        ValueError: the suite has no such task, or several that the name fits.
    """
    names = env.task_names()
    if isinstance(task, int) and not isinstance(task, bool):
        if not 0 <= task < len(names):
            raise ValueError(f"task={task} is not in the suite; choose from 0 to {len(names) - 1}.")
        return task
    unique = env.unique_names()
    for known in (unique, names):
        found = [number for number, name in enumerate(known) if name.lower() == str(task).lower()]
        if len(found) > 1:
            raise ValueError(f"task={task} is the instruction of several tasks: {_listed(found, unique)}.")
        if found:
            return found[0]
    if len(bare := str(task).strip("\"'")) < len(str(task)):  # quotes that a shell or a script has left on it
        return task_number(bare, env)
    raise ValueError(f"the suite has no task {str(task)!r}{nearest(str(task), names)}.")


def _listed(numbers: Sequence[int], unique: Sequence[str]) -> str:
    """Tasks by number, and by name where that tells them apart."""
    if len({unique[number] for number in numbers}) < len(numbers):
        return f"give one by number: {', '.join(map(str, numbers))}"
    said = ", ".join(f"{number} ({unique[number]})" for number in numbers)
    return f"give one by number or name: {said}"


def select_episodes(config: DictConfig, env: EnvConfig) -> list[Episode]:
    """The episodes of `task`, `tasks`, `inits`, `seed` and `episodes`, in the suite's order.

    Raises:
        ValueError: nothing is left to run, or a number is out of range.
    """
    settings = plain(config)
    tasks = select_tasks(config, env)
    found = env.episodes(tasks=tasks, inits=settings["inits"], seed=settings["seed"])
    found = found[: settings["episodes"]] if settings["episodes"] is not None else found
    if not found:
        raise ValueError("these settings select no episode; inits= and episodes= must be at least 1.")
    return found


def by_task(episodes: Iterable[Episode]) -> dict[tuple[str, int], list[Episode]]:
    """(suite, task) → its episodes, tasks in the order in which they come first."""
    found: dict[tuple[str, int], list[Episode]] = {}
    for episode in episodes:
        found.setdefault((episode.suite, episode.task), []).append(episode)
    return found
