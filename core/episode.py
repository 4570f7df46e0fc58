"""The identity of an episode, and the seeds that follow from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

FRESH = -1
"""`Episode.init` of an episode whose placement is drawn from its seed instead of a stored initial state."""


@dataclass(frozen=True, order=True)
class Episode:
    """One episode, named completely: two runs of equal episodes give equal states and actions.

    Args:
        suite: family of tasks, for example "libero_object".
        task: index of the task in its suite, from 0.
        init: index of the stored initial state, or `FRESH` for a placement drawn from the seed.
        seed: the run's seed; a different seed is a different episode.
    """

    suite: str
    task: int
    init: int
    seed: int = 0

    @property
    def key(self) -> str:
        """A short name that is unique and safe in a file name."""
        init = "fresh" if self.init == FRESH else f"init{self.init:03d}"
        return f"{self.suite}-task{self.task:02d}-{init}-seed{self.seed}"

    def derive(self, *purpose: object) -> int:
        """An integer in [0, 2**32) that depends on this episode and the purpose, and on nothing else.

        Never seed from a worker's number or a position in a queue: the result would depend on both.
        """
        text = "/".join(map(str, (self.suite, self.task, self.init, self.seed, *purpose)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")

    def rng(self, *purpose: object) -> np.random.Generator:
        """A NumPy generator seeded by `derive`."""
        return np.random.default_rng(self.derive(*purpose))

    def unseeded(self) -> Episode:
        """What its initial state is drawn from: a numbered one is the same for every seed."""
        return self if self.init == FRESH else replace(self, seed=0)

    def to_json(self) -> dict:
        """The identity as JSON-able types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict) -> Episode:
        """The inverse of `to_json`; other keys are ignored."""
        return cls(**{name: record[name] for name in ("suite", "task", "init", "seed")})


def choose_episodes(
    suite: str,
    known: tuple[int, int | Callable[[int], int]],
    tasks: list[int] | None = None,
    inits: list[int] | int | None = None,
    seed: int = 0,
    endless: bool = False,
) -> list[Episode]:
    """Task by task, the chosen initial states.

    Args:
        suite: of the tasks.
        known: how many tasks there are, and how many initial states of each, or of a task by its number.
        tasks: numbers; None for all.
        inits: numbers, or the first so many; None for all.
        seed: of the run.
        endless: initial states are drawn from their number, so that there are more than the protocol's.

    Raises:
        ValueError: a number is none of the suite's, or given twice.
    """
    total, count = known
    if isinstance(inits, int) and inits < 1:
        raise ValueError(f"inits={inits} selects no initial state; use at least 1")
    chosen = list(range(total)) if tasks is None else tasks
    _check_numbers("tasks", chosen, total, suite)
    found = []
    for task in chosen:
        limit = count(task) if callable(count) else count
        if isinstance(inits, int) and inits > limit and not endless:
            raise ValueError(
                f"inits={inits} asks for more initial states than {suite} has of a task; choose from 0 to "
                f"{limit - 1}, or inits={limit} for all"
            )
        wanted = inits if isinstance(inits, list) else list(range(limit if inits is None else inits))
        _check_numbers("inits", wanted, None if endless else limit, suite)
        found += [Episode(suite, task, init, seed) for init in wanted]
    return found


def _check_numbers(name: str, values: list[int], limit: int | None, suite: str) -> None:
    if bad := [value for value in values if value < 0 or (limit is not None and value >= limit)]:
        choice = "0 and above" if limit is None else f"0 to {limit - 1}"
        raise ValueError(f"{name}={bad} is not in {suite}; choose from {choice}")
    if len(set(values)) < len(values):
        raise ValueError(f"{name}={values} names a number twice; an episode runs once")
