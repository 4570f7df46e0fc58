"""Which episode a worker takes next."""

from __future__ import annotations

from collections.abc import Iterable

from playloop.core.episode import Episode


class Pending:
    """Episodes that wait for a worker. Workers keep to their task: building another scene takes seconds.

    The choice changes how long a run takes and nothing else: an episode follows from its identity.
    """

    def __init__(self, episodes: Iterable[Episode]):
        self._tasks: dict[tuple[str, int], list[Episode]] = {}
        for episode in episodes:
            self._tasks.setdefault((episode.suite, episode.task), []).append(episode)

    def __len__(self) -> int:
        return sum(map(len, self._tasks.values()))

    def take(self, held: tuple[str, int] | None, others: Iterable[tuple[str, int] | None]) -> Episode | None:
        """The next episode for a worker that holds the task `held` while the others hold `others`."""
        if not self._tasks:
            return None
        free = [task for task in self._tasks if task not in set(others)]
        if held in self._tasks:
            task = held
        elif free:
            task = free[0]
        else:
            task = max(self._tasks, key=lambda task: len(self._tasks[task]))
        episode = self._tasks[task].pop(0)
        if not self._tasks[task]:
            del self._tasks[task]
        return episode
