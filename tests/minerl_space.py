"""The space of action dictionaries, as MineRL 1.0 declares it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from playloop.core.minecraft import BUTTONS, MAX_TURN


def dictionary_space() -> gym.spaces.Dict:
    """Buttons, and the camera's two angles."""
    spaces: dict[str, gym.Space] = {name: gym.spaces.Discrete(2) for name in BUTTONS}
    spaces["camera"] = gym.spaces.Box(-MAX_TURN, MAX_TURN, (2,), np.float32)
    return gym.spaces.Dict(spaces)
