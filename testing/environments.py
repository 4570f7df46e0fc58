"""What every environment must keep: one call from a test checks a new one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
from gymnasium.utils.env_checker import check_env as check_gymnasium

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.testing.determinism import check_determinism, check_in_turn, in_fresh_process
from playloop.testing.traces import Act, wild

STEPS = 20


def check_env(
    make: Callable[[], PlayEnv],
    steps: int = STEPS,
    act: Act = wild,
    moves: str | tuple[str, ...] = "",
    tasks: list[int] | None = None,
    fresh: bool = False,
) -> None:
    """Gymnasium's own checks, the contract against what is observed, and determinism to the bit.

    Args:
        make: builds the environment.
        steps: actions an episode; an episode that ends earlier is compared up to there.
        act: chooses the actions; those of an engine with contacts should touch something.
        moves: the actions must change some truth whose name begins so, such as "object/".
        tasks: whose first episode is checked, that of the first in every way; None for the first task alone.
        fresh: compare the last of them with a fresh process, too; `make` and `act` must survive pickling.

    Raises:
        AssertionError: says what is broken, and where.
    """
    env = make()
    try:
        episodes = env.episodes()
        _check_gymnasium(env, episodes)
        assert len({episode.key for episode in episodes}) == len(episodes), (
            f"{_name(env)}.episodes() gives two episodes of one key"
        )
        check_contract(env, episodes[0])
        if not env.contract.deterministic:
            sentence = (
                f"determinism of {_name(env)} is not checked: its contract declares deterministic=False"
            )
            warnings.warn(sentence, stacklevel=2)
            return
        chosen = [choose(episodes, task) for task in ([episodes[0].task] if tasks is None else tasks)]
        with in_fresh_process(make, [chosen[-1][0]], steps, act) if fresh else nullcontext() as compare:
            traces = [check_determinism(env, chosen[0], steps, act, moves)]
            traces += check_in_turn(env, chosen[1:], steps, act, moves)
            if compare:
                compare(traces[-1:])
    finally:
        env.close()


def _check_gymnasium(env: PlayEnv, episodes: list[Episode]) -> None:
    """A dozen resets, all of one task: each other one may take seconds to load."""
    alike = [episode for episode in episodes if episode.task == episodes[0].task]
    with warnings.catch_warnings(), patch.object(env, "episodes", lambda: alike):
        warnings.filterwarnings("ignore", message=".*(not within|infinity|render|spec).*")
        check_gymnasium(env, skip_render_check=True)


def choose(episodes: list[Episode], task: int) -> list[Episode]:
    """A task's first episode, its last, and one of another task, as far as there are any."""
    mine = [episode for episode in episodes if episode.task == task]
    assert mine, f"there is no episode of task {task} to check"
    other = [episode for episode in episodes if episode.task != task][-1:]
    return list(dict.fromkeys([mine[0], mine[-1], *other]))


def check_contract(env: PlayEnv, episode: Episode) -> None:
    """What is declared is what is seen at the beginning of an episode.

    Raises:
        AssertionError: says what differs.
    """
    contract, name = env.contract, _name(env)
    assert Contract.from_json(contract.to_json()) == contract, (
        f"the contract of {name} is another one when it is written as JSON and read again"
    )
    actions = (len(contract.action_names),)
    assert env.action_space.shape == actions, (
        f"the action space of {name} is {env.action_space.shape}, its contract names {actions[0]} actions"
    )
    env.begin(episode)
    assert env.horizon >= 1, f"{name} has a horizon of {env.horizon} actions"
    _check_seen(env, name)


def _check_seen(env: PlayEnv, name: str) -> None:
    contract, blind, seen = env.contract, env.observe(images=False), env.observe()
    for said, found, keys in (
        ("observe(images=False)", blind, {"state", "instruction"}),
        ("observe()", seen, {"images", "state", "instruction"}),
    ):
        assert set(found) == keys, f"{name}.{said} has {sorted(found)} instead of {sorted(keys)}"
    assert isinstance(seen["instruction"], str) and seen["instruction"], (
        f"{name} observes the instruction {seen['instruction']!r}; it must be text that says something"
    )
    _check_array(seen["state"], (np.float32, (len(contract.state_names),)), f"{name} observes a state")
    assert np.array_equal(blind["state"], seen["state"]), f"drawing pictures changes the state of {name}"
    assert list(seen["images"]) == list(contract.cameras), (
        f"{name} shows the cameras {list(seen['images'])}, its contract names {list(contract.cameras)}"
    )
    for camera, size in contract.cameras.items():
        _check_array(seen["images"][camera], (np.uint8, (*size, 3)), f"{name} shows a picture of {camera}")


def _check_array(found: np.ndarray, wanted: tuple[type, tuple[int, ...]], what: str) -> None:
    dtype, shape = wanted
    assert found.dtype == dtype and found.shape == shape, (
        f"{what} of {found.dtype} {found.shape}; its contract makes it {np.dtype(dtype)} {shape}"
    )


def _name(env: PlayEnv) -> str:
    return type(env).__name__
