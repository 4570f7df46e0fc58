"""How long rollouts take: ours against the plain loop that other harnesses run, in one run on one machine."""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.table import Table

from playloop.agents.base import Plan, RowAgent
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.fields import make
from playloop.envs.libero import SETTLE_ACTION, LiberoConfig, load_states
from playloop.rollouts.driver import Driver
from playloop.rollouts.progress import new_console

CHUNK = 8


class FixedChunks(RowAgent):
    """Looks at both images and then plays back the next eight of a fixed row of actions [steps, A]."""

    reads = frozenset({"images"})
    rows = 8

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions

    def prepare(self, contract: Contract) -> None:
        """Nothing is learned, so nothing can mismatch."""

    def begin(self, episode: Episode) -> int:
        return 0

    def decide(self, carry: int, observation: dict[str, Any], rng: np.random.Generator) -> tuple[int, Plan]:
        assert "images" in observation
        return carry + CHUNK, Plan(self.actions[carry : carry + CHUNK])


def bench_rollout(config: DictConfig) -> dict[str, Any]:
    """Wall time of N episodes of equal length: construction, resets, images and physics, nothing left out.

    The baseline is LIBERO's own `OffScreenRenderEnv` in one process, rebuilt by its hard reset before each
    episode and rendering both cameras at every step, as OpenVLA-OFT's and openpi's evaluation scripts do.

    Args:
        config: `env` (a LIBERO suite), `episodes`, `steps`, `workers`, `seed`.
    """
    env: LiberoConfig = make(config.env)
    env.horizon = config.steps
    episodes = env.episodes([0], int(config.episodes), config.seed)
    rng = np.random.default_rng(config.seed)
    actions = rng.uniform(-0.3, 0.3, (config.steps, 7)).astype(np.float32)
    console = new_console(stderr=False)
    console.print(
        f"{len(episodes)} episodes of {env.settle_steps} + {config.steps} steps, {env.suite} task 0"
    )
    ours = _ours(env, episodes, actions, config.workers)
    console.print(f"ours, {config.workers} workers: {ours:.1f} s")
    plain = _plain(env, episodes, actions)
    console.print(f"plain loop, one process: {plain:.1f} s")
    table = Table("", "seconds", "episodes a minute")
    for name, seconds in {"plain": plain, "ours": ours}.items():
        table.add_row(name, f"{seconds:.1f}", f"{60 * len(episodes) / seconds:.1f}")
    table.add_row("plain / ours", f"{plain / ours:.2f}", "")
    console.print(table)
    return {
        "suite": env.suite,
        "episodes": len(episodes),
        "steps": int(config.steps),
        "workers": int(config.workers),
        "ours_seconds": ours,
        "plain_seconds": plain,
        "ours_episodes_per_minute": 60 * len(episodes) / ours,
        "plain_episodes_per_minute": 60 * len(episodes) / plain,
        "ratio": plain / ours,
    }


def _ours(env: LiberoConfig, episodes: list[Episode], actions: np.ndarray, workers: int) -> float:
    start = time.perf_counter()
    results = Driver(env, workers).run(FixedChunks(actions), episodes)
    elapsed = time.perf_counter() - start
    _check([result.steps for result in results], len(actions), [result.error for result in results])
    return elapsed


def _plain(env: LiberoConfig, episodes: list[Episode], actions: np.ndarray) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        from libero.libero.envs import OffScreenRenderEnv

        start = time.perf_counter()
        task = env.task(0)
        simulator = OffScreenRenderEnv(
            bddl_file_name=str(task.scene), camera_heights=env.size, camera_widths=env.size
        )
        lengths = []
        for episode in episodes:
            simulator.seed(episode.derive("reset"))
            simulator.reset()
            simulator.set_init_state(load_states(task)[episode.init])
            for _ in range(env.settle_steps):
                simulator.step(list(SETTLE_ACTION))
            lengths.append(_play(simulator, actions))
        simulator.close()
    elapsed = time.perf_counter() - start
    _check(lengths, len(actions), [])
    return elapsed


def _play(simulator: Any, actions: np.ndarray) -> int:
    for number, action in enumerate(actions, 1):
        _, _, done, _ = simulator.step(action)
        if done:
            return number
    return len(actions)


def _check(lengths: list[int], steps: int, errors: list[str | None]) -> None:
    if any(errors) or set(lengths) != {steps}:
        raise RuntimeError(f"the episodes are not of equal length: {lengths} {errors}; choose another seed")
