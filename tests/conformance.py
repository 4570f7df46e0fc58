"""What every environment, policy and agent must keep: one call from a test checks a new one.

from conformance import check_env

def test_my_env():
    check_env(MyConfig().make)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from determinism import check_determinism, check_in_turn, in_fresh_process
from gymnasium.utils.env_checker import check_env as check_gymnasium
from traces import Act, wild

from playloop.agents.base import Agent
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.policies.network import Policy

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
    """
    env = make()
    try:
        episodes = env.episodes()
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.filterwarnings("ignore", message=".*(not within|infinity|render|spec).*")
            alike = [episode for episode in episodes if episode.task == episodes[0].task]
            patch.setattr(
                env, "episodes", lambda: alike
            )  # a dozen resets: each other task takes seconds to load
            check_gymnasium(env, skip_render_check=True)
        assert len({episode.key for episode in episodes}) == len(episodes), "two episodes have one key"
        check_contract(env, episodes[0])
        if not env.contract.deterministic:
            print("determinism is not checked: the contract declares deterministic=False")
            return
        chosen = [choose(episodes, task) for task in ([episodes[0].task] if tasks is None else tasks)]
        with in_fresh_process(make, [chosen[-1][0]], steps, act) if fresh else nullcontext() as compare:
            traces = [check_determinism(env, chosen[0], steps, act, moves)]
            traces += check_in_turn(env, chosen[1:], steps, act, moves)
            if compare:
                compare(traces[-1:])
    finally:
        env.close()


def choose(episodes: list[Episode], task: int) -> list[Episode]:
    """A task's first episode, its last, and one of another task, as far as there are any."""
    mine = [episode for episode in episodes if episode.task == task]
    other = [episode for episode in episodes if episode.task != task][-1:]
    return list(dict.fromkeys([mine[0], mine[-1], *other]))


def check_contract(env: PlayEnv, episode: Episode) -> None:
    """What is declared is what is seen."""
    contract = env.contract
    assert Contract.from_json(contract.to_json()) == contract
    assert env.action_space.shape == (len(contract.action_names),)
    env.begin(episode)
    assert env.horizon >= 1
    blind, seen = env.observe(images=False), env.observe()
    assert set(blind) == {"state", "instruction"}
    assert set(seen) == {"images", "state", "instruction"}
    assert isinstance(seen["instruction"], str) and seen["instruction"]
    assert seen["state"].dtype == np.float32 and seen["state"].shape == (len(contract.state_names),)
    assert np.array_equal(blind["state"], seen["state"]), "rendering changes the state"
    assert list(seen["images"]) == list(contract.cameras)
    for camera, size in contract.cameras.items():
        assert seen["images"][camera].dtype == np.uint8 and seen["images"][camera].shape == (*size, 3)


def check_policy(make: Callable[[], Policy], rows: int = 3) -> None:
    """Shapes of the chunks, and that a row depends on its own observation and generator only."""
    policy = make()
    observations = [imagine(policy.contract, np.random.default_rng(row)) for row in range(rows)]

    def decide(chosen: list[int]) -> np.ndarray:
        carry = policy.initial(len(chosen))
        generators = [torch.Generator().manual_seed(row) for row in chosen]
        return policy(carry, [observations[row] for row in chosen], generators)[1]

    together = decide(list(range(rows)))
    assert together.shape == (rows, policy.chunk, len(policy.contract.action_names))
    assert together.dtype == np.float32 and np.isfinite(together).all()
    assert np.array_equal(together, decide(list(range(rows)))), "the same call gives another result"
    for row in range(rows):
        assert np.array_equal(together[row], decide([row])[0]), (
            f"row {row} alone differs from row {row} of {rows}"
        )
    assert np.array_equal(together[::-1], decide(list(range(rows))[::-1])), "the order of the rows matters"


def imagine(contract: Contract, rng: np.random.Generator) -> dict[str, Any]:
    """An observation of the declared shapes; its content is noise."""
    images = {name: rng.integers(0, 256, (*size, 3), np.uint8) for name, size in contract.cameras.items()}
    state = rng.uniform(0.0, 1.0, len(contract.state_names)).astype(np.float32)
    return {"images": images, "state": state, "instruction": "reach the red square"}


def check_agent(make: Callable[[], Agent], make_env: Callable[[], PlayEnv]) -> None:
    """An agent's plans in real episodes: shapes, repeatability, and no row that minds its neighbours."""
    agent, env = make(), make_env()
    try:
        assert set(agent.reads) <= {"images", "privileged"} and agent.rows >= 1
        agent.prepare(env.contract)
        episodes = env.episodes()[: min(3, agent.rows)]
        observations = [first_observation(env, episode, agent.reads) for episode in episodes]
    finally:
        env.close()

    def decide(chosen: list[int]) -> list[np.ndarray]:
        carries = [agent.begin(episodes[row]) for row in chosen]
        rngs = [episodes[row].rng("agent", 0) for row in chosen]
        return [plan.actions for plan in agent.act(carries, [observations[row] for row in chosen], rngs)[1]]

    together = decide(list(range(len(episodes))))
    for row, actions in enumerate(together):
        assert actions.dtype == np.float32 and np.isfinite(actions).all()
        assert actions.ndim == 2 and len(actions) >= 1
        assert actions.shape[1] == len(env.contract.action_names)
        assert np.array_equal(actions, decide([row])[0]), f"row {row} alone differs"


def first_observation(env: PlayEnv, episode: Episode, reads: frozenset[str]) -> dict[str, Any]:
    env.begin(episode)
    observation = env.observe(images="images" in reads)
    return {**observation, "privileged": env.privileged()} if "privileged" in reads else observation
