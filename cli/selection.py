"""Which episodes a command line asks for."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from playloop.cli.arguments import nearest
from playloop.cli.config import plain
from playloop.envs.episode import Episode


def select_tasks(config: DictConfig, names: list[str]) -> list[int] | None:
    """The numbers of `task=` or `tasks=`, each given by number or name; None for all.

    Raises:
        ValueError: both are given, or one names no task of the suite.
    """
    settings = plain(config)
    single, several = settings.get("task"), settings.get("tasks")
    if single is not None and several is not None:
        raise ValueError("task= and tasks= are both given; keep one.")
    if single is None and several is None:
        return None
    chosen = several if isinstance(several, list) else [single if several is None else several]
    return [task_number(task, names) for task in chosen]


def task_number(task: Any, names: list[str]) -> int:
    """The number of a task given by number or name.

    Raises:
        ValueError: the suite has no such task.
    """
    if isinstance(task, int) and not isinstance(task, bool):
        if not 0 <= task < len(names):
            raise ValueError(f"task={task} is not in the suite; choose from 0 to {len(names) - 1}.")
        return task
    lowered = {name.lower(): number for number, name in enumerate(names)}
    if str(task).lower() not in lowered:
        raise ValueError(f"the suite has no task {str(task)!r}{nearest(str(task), names)}.")
    return lowered[str(task).lower()]


def select_episodes(config: DictConfig, env: Any) -> list[Episode]:
    """The episodes of `task`, `tasks`, `inits`, `seed` and `episodes`, in the suite's order.

    Raises:
        ValueError: nothing is left to run, or a number is out of range.
    """
    settings = plain(config)
    tasks = select_tasks(config, env.task_names())
    found = env.episodes(tasks=tasks, inits=settings["inits"], seed=settings["seed"])
    found = found[: settings["episodes"]] if settings["episodes"] is not None else found
    if not found:
        raise ValueError("these settings select no episode; inits= and episodes= must be at least 1.")
    return found
