"""What every environment, policy and agent must keep: one call from a test checks a new one.

from conformance import check_env

def test_my_env():
    check_env(MyConfig().make)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.utils.env_checker import check_env as check_gymnasium

from playloop.agents.base import Agent
from playloop.envs.contract import Contract, PlayEnv
from playloop.envs.episode import Episode
from playloop.policies.base import Policy

STEPS = 12


def check_env(make: Callable[[], PlayEnv], steps: int = STEPS) -> None:
    """Gymnasium's own checks, the contract against what is observed, and determinism to the bit.

    Args:
        make: builds the environment.
        steps: actions an episode; an episode that ends earlier is compared up to there.
    """
    env = make()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(not within|infinity|render|spec).*")
            check_gymnasium(env, skip_render_check=True)
        episodes = env.episodes()
        assert len({episode.key for episode in episodes}) == len(episodes), "two episodes have one key"
        check_contract(env, episodes[0])
        if env.contract.deterministic:
            check_determinism(env, episodes[0], episodes[-1], steps)
    finally:
        env.close()


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


def check_determinism(env: PlayEnv, first: Episode, last: Episode, steps: int) -> None:
    """An episode is the same again, whatever ran between, and whether or not anybody looked."""
    plain = play(env, first, steps, look=False)
    play(env, last, steps, look=False)
    assert_same(plain, play(env, first, steps, look=False), "the same episode differs after another one")
    assert_same(plain, play(env, first, steps, look=True), "looking changes the episode")


def play(env: PlayEnv, episode: Episode, steps: int, look: bool) -> list[np.ndarray]:
    """States and outcomes of an episode under actions that follow from its identity."""
    env.begin(episode)
    rng = episode.rng("conformance")
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    trace = [env.observe(images=look)["state"]]
    for _ in range(min(steps, env.horizon)):
        outcome = env.advance(rng.uniform(low, high).astype(np.float32))
        flags = [outcome.reward, outcome.success, outcome.terminated, outcome.truncated]
        trace += [env.observe(images=look)["state"], np.array(flags, np.float64)]
        if outcome.terminated or outcome.truncated:
            break
    return trace


def assert_same(first: list[np.ndarray], second: list[np.ndarray], complaint: str) -> None:
    assert len(first) == len(second), complaint
    for step, (one, other) in enumerate(zip(first, second, strict=True)):
        assert np.array_equal(one, other), f"{complaint}: entry {step}, {one} and {other}"


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
