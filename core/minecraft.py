"""The action interface of MineRL 1.0, which every Minecraft-like environment here speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from playloop.core.contract import Contract
from playloop.core.conventions import Convention, altered

BUTTONS = (
    "ESC",
    "attack",
    "back",
    "drop",
    "forward",
    *(f"hotbar.{number}" for number in range(1, 10)),
    "inventory",
    "jump",
    "left",
    "pickItem",
    "right",
    "sneak",
    "sprint",
    "swapHands",
    "use",
)
"""The 23 keys and mouse buttons, in MineRL's alphabetical order; 1 while held."""

CAMERA = ("camera.pitch", "camera.yaw")
"""Turn of the view in this step, in degrees: pitch grows downwards, yaw to the right."""

ACTION_NAMES = (*BUTTONS, *CAMERA)
"""A name for every entry of an action vector."""

ACTION_SIZE = len(ACTION_NAMES)
MAX_TURN = 180.0
"""Largest turn of the camera in one step, in degrees."""

_INDEX = {name: index for index, name in enumerate(ACTION_NAMES)}


def index_of(name: str) -> int:
    """Index of an entry of `ACTION_NAMES` in an action vector."""
    return _INDEX[name]


def action_vector(action: Mapping[str, Any]) -> np.ndarray:
    """A MineRL action dictionary → float32 [25]: the buttons as 0 or 1, then pitch and yaw in degrees.

    Keys left out are not pressed.

    Raises:
        KeyError: a key is not of MineRL 1.0.
    """
    vector = np.zeros(ACTION_SIZE, np.float32)
    for name, value in action.items():
        if name == "camera":
            vector[-2:] = np.asarray(value, np.float32)
        elif name in _INDEX:
            vector[_INDEX[name]] = float(value)
        else:
            raise KeyError(f"{name!r} is no MineRL action; they are {', '.join(BUTTONS)} and camera")
    return vector


def action_dictionary(vector: np.ndarray) -> dict[str, Any]:
    """The inverse of `action_vector`: {button: int, "camera": float32 [2]}."""
    if np.shape(vector) != (ACTION_SIZE,):
        raise ValueError(f"expected an action vector [{ACTION_SIZE}], got {np.shape(vector)}")
    action: dict[str, Any] = {name: int(vector[index] > 0.5) for index, name in enumerate(BUTTONS)}
    action["camera"] = np.asarray(vector[-2:], np.float32)
    return action


def action_space() -> gym.spaces.Box:
    """The space of action vectors, float32 [25]."""
    low = np.array([0.0] * len(BUTTONS) + [-MAX_TURN] * 2, np.float32)
    high = np.array([1.0] * len(BUTTONS) + [MAX_TURN] * 2, np.float32)
    return gym.spaces.Box(low, high, dtype=np.float32)


def minerl_contract(size: tuple[int, int], resized: str = "", **rest: Any) -> Contract:
    """MineRL's conventions for pictures of a height and width, so that what is learned here can act there.

    Args:
        size: height and width.
        resized: how pictures were made smaller than MineRL's own; "" for not at all.
        rest: other fields of the contract.
    """
    standard: dict[str, Any] = {
        "family": "minerl",
        "action": Convention("minerl-1.0", {"escape_ends": True}),
        "image": altered("upright", source="360 x 640", resized=resized) if resized else "upright",
        "state_names": (),
        "success": "none",
    }
    return Contract(action_names=ACTION_NAMES, control_hz=20.0, cameras={"pov": size}, **standard | rest)
