"""Observations for libraries of reinforcement learning that read neither text nor nested dictionaries."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs


class ArrayObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """One dictionary of arrays: a picture a camera, "state", and the episode's task as a number.

    Instead of the instruction there is "task", a `Discrete` of the suite's tasks; libraries and Gymnasium's
    `FlattenObservation` make a vector of zeros and a one of it.

    >>> import playloop
    >>> env = ArrayObservation(gym.make("playloop/ToyReach-v0"))
    >>> list(env.observation_space)
    ['hand', 'state', 'task', 'top']

    Args:
        env: one of Playloop's, also inside other wrappers that leave its observations as they are.
    """

    def __init__(self, env: gym.Env):
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        own: Any = env.observation_space
        self.task = 0
        self.observation_space = gym.spaces.Dict(
            **own["images"].spaces,
            state=own["state"],
            task=gym.spaces.Discrete(len(self.get_wrapper_attr("config").task_names())),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        seen, info = self.env.reset(seed=seed, options=options)
        self.task = info["episode"]["task"]
        return self.observation(seen), info

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """An observation of the environment, as arrays."""
        return {**observation["images"], "state": observation["state"], "task": self.task}
