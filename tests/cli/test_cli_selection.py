"""Which episodes a command line selects."""

from __future__ import annotations

import pytest

from playloop.cli.config import load, make
from playloop.cli.selection import select_episodes


def chosen(*words: str) -> list[tuple[int, int, int]]:
    config = load("eval", ["env=toy", "agent=random", *words])
    return [
        (episode.task, episode.init, episode.seed) for episode in select_episodes(config, make(config.env))
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["task=2"], [(2, 0, 0), (2, 1, 0)]),
        (["tasks=[3,0]", "inits=1"], [(3, 0, 0), (0, 0, 0)]),
        (["tasks=1", "inits=[4,2]", "seed=7"], [(1, 4, 7), (1, 2, 7)]),
        (["task=Reach the green square", "inits=1"], [(1, 0, 0)]),
        (["inits=1", "episodes=3"], [(0, 0, 0), (1, 0, 0), (2, 0, 0)]),
    ],
)
def test_selection(words, expected):
    assert chosen(*words) == expected


def test_every_initial_state_is_visited_once():
    assert chosen("inits=null") == [(task, init, 0) for task in range(4) for init in range(5)]
