"""What every policy and every agent must keep: shapes, repeatability, rows that do not mind each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from playloop.agents.base import Agent
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.policies.network import Policy

INSTRUCTION = "reach the red square"


def check_policy(make: Callable[[], Policy], rows: int = 3, instruction: str = INSTRUCTION) -> None:
    """Shapes of the chunks, and that a row depends on its own observation and generator only.

    Args:
        make: builds the policy.
        rows: observations of noise that are decided for at once.
        instruction: of them all.

    Raises:
        AssertionError: says what is broken.
    """
    policy = make()
    observations = [imagine(policy.contract, np.random.default_rng(row), instruction) for row in range(rows)]

    def decide(chosen: list[int]) -> np.ndarray:
        carry = policy.initial(len(chosen))
        generators = [torch.Generator().manual_seed(row) for row in chosen]
        return policy(carry, [observations[row] for row in chosen], generators)[1]

    together = decide(list(range(rows)))
    name = type(policy).__name__
    _check_numbers(together, (rows, policy.chunk, len(policy.contract.action_names)), f"the chunks of {name}")
    assert np.array_equal(together, decide(list(range(rows)))), (
        f"the same call of {name} gives another result"
    )
    for row in range(rows):
        assert np.array_equal(together[row], decide([row])[0]), (
            f"a row of {name} minds its neighbours: row {row} alone differs from row {row} of {rows}"
        )
    assert np.array_equal(together[::-1], decide(list(range(rows))[::-1])), (
        f"the order of the rows matters to {name}"
    )


def imagine(contract: Contract, rng: np.random.Generator, instruction: str = INSTRUCTION) -> dict[str, Any]:
    """An observation of the declared shapes; its content is noise."""
    images = {name: rng.integers(0, 256, (*size, 3), np.uint8) for name, size in contract.cameras.items()}
    state = rng.uniform(0.0, 1.0, len(contract.state_names)).astype(np.float32)
    return {"images": images, "state": state, "instruction": instruction}


def check_agent(make: Callable[[], Agent], make_env: Callable[[], PlayEnv]) -> None:
    """An agent's plans in real episodes: shapes, repeatability, and no row that minds its neighbours.

    Args:
        make: builds the agent.
        make_env: builds an environment that it can act in.

    Raises:
        AssertionError: says what is broken.
        ValueError: the agent refuses the environment; says why.
    """
    agent, env = make(), make_env()
    name = type(agent).__name__
    try:
        assert set(agent.reads) <= {"images", "privileged"}, (
            f'{name}.reads is {sorted(agent.reads)}; there are "images" and "privileged"'
        )
        assert agent.rows >= 1, f"{name}.rows is {agent.rows}; it must decide for at least one episode"
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
    assert len(together) == len(episodes), f"{name} has {len(together)} plans for {len(episodes)} episodes"
    for row, actions in enumerate(together):
        wanted = (max(len(actions), 1), len(env.contract.action_names))
        _check_numbers(actions, wanted, f"the actions of {name} in {episodes[row].key}")
        assert np.array_equal(actions, decide([row])[0]), (
            f"a row of {name} minds its neighbours, or is decided otherwise the second time: row {row} alone "
            "differs"
        )


def _check_numbers(found: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    assert found.dtype == np.float32 and found.shape == shape, (
        f"{what} are {found.dtype} {found.shape} instead of float32 {shape}"
    )
    assert np.isfinite(found).all(), f"{what} are not all finite numbers"


def first_observation(env: PlayEnv, episode: Episode, reads: frozenset[str]) -> dict[str, Any]:
    """What an agent that reads so much sees when an episode begins."""
    env.begin(episode)
    observation = env.observe(images="images" in reads)
    return {**observation, "privileged": env.privileged()} if "privileged" in reads else observation
