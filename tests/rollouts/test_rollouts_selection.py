"""Which episodes a command line selects."""

from __future__ import annotations

from collections import Counter

import pytest

from playloop.configs.compose import load
from playloop.core.fields import make
from playloop.envs.libero import LiberoConfig
from playloop.rollouts.selection import select_episodes, task_number


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
        (["task='reach the green square'", "inits=1"], [(1, 0, 0)]),
        (["inits=1", "episodes=3"], [(0, 0, 0), (1, 0, 0), (2, 0, 0)]),
    ],
)
def test_selection(words, expected):
    assert chosen(*words) == expected


def test_every_initial_state_is_visited_once():
    assert chosen("inits=null") == [(task, init, 0) for task in range(4) for init in range(5)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tasks=[1,1]"], r"tasks=\[1, 1\] names a task twice"),
        (["tasks=[1,reach the green square]"], r"names a task twice \(numbers \[1, 1\]\)"),
        (["tasks=[]"], r"tasks=\[\] names no task"),
        (["inits=[2,2]"], r"inits=\[2, 2\] names a number twice"),
        (
            ["inits=6"],
            "inits=6 asks for more .* choose from 0 to 4, or inits=5 for all",
        ),
        (["inits=[1,5]"], r"inits=\[5\] is not in toy_reach; choose from 0 to 4"),
    ],
)
def test_no_episode_is_asked_for_twice_or_silently_left_out(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        chosen(*words)


def test_an_instruction_of_several_tasks_is_asked_back_and_scenes_tell_them_apart():
    env = LiberoConfig("libero_90")
    with pytest.raises(
        ValueError, match=r"20 .KITCHEN_SCENE3_turn_on_the_stove., 44 .KITCHEN_SCENE9_turn_on_"
    ):
        task_number("turn on the stove", env)
    names = env.task_names()
    shared = [name for name, count in Counter(names).items() if count > 1]
    assert len(shared) == 12
    for name in shared:
        with pytest.raises(ValueError, match="several tasks"):
            task_number(name.upper(), env)
    for number, (unique, name) in enumerate(zip(env.unique_names(), names, strict=True)):
        assert task_number(unique, env) == number
        assert name in shared or task_number(name, env) == number


def test_tasks_without_initial_states_are_told_and_not_left_out():
    milk = LiberoConfig("libero_10_with_milk")
    others = [0, 1, 2, 5, 6, 7, 8, 9]
    for inits in (None, 2, [0]):
        with pytest.raises(
            ValueError, match=r"no stored initial states of task 3, 4; leave them out: tasks=\[0,1"
        ):
            milk.episodes(inits=inits)
    assert {episode.task for episode in milk.episodes(others)} == set(others)
    assert {episode.task for episode in milk.make().episodes()} == set(others)
    with pytest.raises(ValueError, match="choose another suite"):
        LiberoConfig("libero_object_with_trigger").episodes()
