"""Actions that touch things, for checks of environments: engines with contacts remember them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from playloop.core.minecraft import index_of
from playloop.envs.base import PlayEnv
from playloop.testing.traces import wild


@dataclass(frozen=True)
class Shove:
    """Drives an arm's hand, wavering and with fingers at random, into what the task is about.

    Args:
        reach: metres that the hand moves in a step, at most.
        unit: metres that an action of 1 means.
    """

    reach: float
    unit: float = 1.0

    def __call__(self, env: PlayEnv, rng: np.random.Generator) -> np.ndarray:
        truth = env.privileged()
        boxes = [name for name in truth if name.startswith("box/")]
        goal = truth[next(name for name in ("pick", "handle", *boxes) if name in truth)]
        gap = np.reshape(goal, (-1, 3)).mean(0) - truth["eef"][:3] + rng.normal(0.0, 0.01, 3)
        if "base_yaw" in truth:  # the truth is the world's, actions are the base's
            (yaw,) = truth["base_yaw"]
            x, y, z = gap
            gap = np.array([np.cos(yaw) * x + np.sin(yaw) * y, np.cos(yaw) * y - np.sin(yaw) * x, z])
        move = np.clip(gap, -self.reach, self.reach) / self.unit
        turn, fingers = rng.uniform(-0.2, 0.2, 3), rng.choice([-1.0, 1.0], 1)
        return np.concatenate([move, turn, fingers]).astype(np.float32)


def keys(env: PlayEnv, rng: np.random.Generator) -> np.ndarray:
    """Minecraft's: turns down and digs; any other key now and then, but the one that ends the game."""
    action = (wild(env, rng) > 0.95).astype(np.float32)
    action[index_of("ESC")] = 0.0
    action[index_of("attack")] = 1.0
    action[-2:] = 15.0, rng.uniform(-1.0, 1.0)
    return action
