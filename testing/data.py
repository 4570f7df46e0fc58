"""Small recordings for tests, made by the code that `playloop record` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from playloop.agents.expert import ExpertConfig
from playloop.agents.explorer import ExplorerConfig
from playloop.core.fields import simple
from playloop.envs.config import EnvConfig
from playloop.envs.craft.env import CraftConfig
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.recording.record import record


def record_demonstrations(
    env: EnvConfig, agent: Any, folder: str | Path, episodes: int = 4, task: int | None = None, seed: int = 0
) -> Path:
    """A data set of an agent's successful episodes, recorded in this process.

    Args:
        env: settings of the environment.
        agent: settings of the agent.
        folder: to write; it holds no data set yet.
        episodes: of all tasks together.
        task: the one task that is recorded; None for all.
        seed: of the placements.

    Raises:
        FileExistsError: the folder holds a data set.
        ValueError: the agent does not succeed often enough.
    """
    settings = {"env": simple(env), "agent": simple(agent), "out": str(folder), "seed": seed, "task": task}
    settings |= {"episodes": episodes, "stride": 1, "workers": 0, "step_timeout": 60.0}
    return record(OmegaConf.create(settings))


def toy_demonstrations(folder: str | Path, episodes: int = 4, seed: int = 0) -> Path:
    """The toy's expert at its four tasks: two cameras of 64 x 64, two actions; it takes a second."""
    return record_demonstrations(ToyReachConfig(), ExpertConfig(), folder, episodes, None, seed)


def craft_recordings(
    folder: str | Path,
    episodes: int = 4,
    steps: int = 24,
    size: tuple[int, int] = (32, 64),
    seed: int = 3,
) -> Path:
    """An explorer's play in the voxel world, for world models: keys and mouse at random, a second an episode.

    Args:
        folder: to write.
        episodes: of `steps` frames each.
        steps: of an episode.
        size: height and width of the frames.
        seed: of the worlds and the keys.
    """
    env = CraftConfig(size=size, horizon=steps)
    explore = env.task_names().index("explore")
    return record_demonstrations(env, ExplorerConfig(), folder, episodes, explore, seed)
