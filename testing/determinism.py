"""An episode is what its name says: the same whatever ran before it, whoever looked, and in which process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np

from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.testing.traces import Act, Trace, difference, record, repeat, row_difference, row_of, wild

LEAST = 5
"""Steps below which a comparison proves nothing, unless the episode's own horizon is shorter."""


def check_determinism(
    env: PlayEnv, episodes: list[Episode], steps: int, act: Act = wild, moves: str | tuple[str, ...] = ""
) -> Trace:
    """Play the first of the episodes again and again, with everything in between that could leave a trace.

    Args:
        env: the environment.
        episodes: the one that is checked, then others to play in between.
        steps: most actions an episode; where the others last longer they are left in their middle, and where
            all end before, the first of them is aborted, too.
        act: chooses them.
        moves: the actions must change some truth whose name begins so: contacts are where engines remember.
    """
    first, *others = episodes
    seen = record(env, first, steps, act)
    _check_enough(env, seen, steps, moves)
    _same(seen, repeat(env, seen), "begun again at once it is another episode")
    ended = []
    for other in others:
        kind = "task" if other.task != first.task else "episode of its task"
        ended.append(record(env, other, steps, act).ended)
        _same(seen, repeat(env, seen), f"it is another episode after another {kind}")
    if ended and all(ended):
        record(env, others[0], LEAST, act)
        _same(seen, repeat(env, seen), "it is another episode after an aborted one")
    _same(seen, repeat(env, seen, look=False), "looking changes the episode")
    if env.contract.restorable:
        check_restore(env, seen)
        _same(seen, repeat(env, seen), "it is another episode after `restore`")
    return seen


def check_in_turn(
    env: PlayEnv, tasks: list[list[Episode]], steps: int, act: Act, moves: str | tuple[str, ...]
) -> list[Trace]:
    """Play the first episode of every task, then all of them again, each after an aborted one of its task.

    For the tasks of an environment of which one has passed `check_determinism`: it costs a third.
    """
    traces = [record(env, first, steps, act) for first, *_ in tasks]
    for seen, (_, *others) in zip(traces, tasks, strict=True):
        _check_enough(env, seen, steps, moves)
        record(env, others[0], LEAST, act, look=False)
        _same(seen, repeat(env, seen), "it is another episode after other tasks and an aborted one")
        if env.contract.restorable:
            check_restore(env, seen)
    return traces


def _check_enough(env: PlayEnv, seen: Trace, steps: int, moves: str | tuple[str, ...]) -> None:
    assert len(seen.actions) >= min(LEAST, steps, env.horizon), (
        f"an episode of {len(seen.actions)} actions proves nothing; give `act`"
    )
    assert not moves or seen.moved(moves), (
        f"the actions do not change the truth of {moves}*; give another `act`"
    )


def check_restore(env: PlayEnv, seen: Trace) -> None:
    """A snapshot brings back what was observed, and what holds then is one whole moment.

    The episode has just been played to its end. The truth is that of the snapshot, or still that of the
    episode, which has only been looked back upon.
    Going on is refused, or goes on from there, or as if nobody had looked back.
    """
    now = seen.rows[-1]
    for number, shot in reversed(seen.shots.items()):
        env.restore(shot)
        then = seen.rows[number]
        shown = row_of(env, None, look=True)
        for name in row_difference(shown, then):
            present = name.startswith(("truth", "snapshot")) and shown[name] == now[name]
            assert present or name == "outcome", f"after `restore` the {name} is not that of step {number}"
    _check_going_on(env, seen)


def _check_going_on(env: PlayEnv, seen: Trace) -> None:
    """Advance after `restore`, in the middle of the episode."""
    early, late = next(iter(seen.shots)), len(seen.actions) // 2
    found = []
    for number in (late, early):  # as if nobody had looked back; from there
        repeat(env, seen, look=False, steps=late)
        env.restore(seen.shots[early])
        try:
            outcome = env.advance(seen.actions[number])
        except RuntimeError:
            return
        wrong = row_difference(seen.rows[number + 1], row_of(env, outcome, look=False))
        if not wrong:
            return
        found.append(f"{', '.join(wrong)} after step {number + 1}")
    raise AssertionError(f"after `restore` the episode goes on as neither was: {' and '.join(found)} differ")


@contextmanager
def in_fresh_process(
    make: Callable[[], PlayEnv], episodes: list[Episode], steps: int, act: Act
) -> Iterator[Callable[[list[Trace]], None]]:
    """Play episodes in a new process meanwhile; what is yielded compares them with those played here."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        future: Future[list[Trace]] = pool.submit(_play_all, make, episodes, steps, act)

        def compare(traces: list[Trace]) -> None:
            for here, there in zip(traces, future.result(), strict=True):
                _same(here, there, "it is another episode in a fresh process")

        yield compare


def _play_all(make: Callable[[], PlayEnv], episodes: list[Episode], steps: int, act: Act) -> list[Trace]:
    env = make()
    try:
        return [record(env, episode, steps, act) for episode in episodes]
    finally:
        env.close()


def _same(first: Trace, other: Trace, complaint: str) -> None:
    assert np.array_equal(first.actions, other.actions), f"{first.episode.key}: {complaint}: other actions"
    found = difference(first, other)
    assert not found, f"{first.episode.key}: {complaint}: {found}"
