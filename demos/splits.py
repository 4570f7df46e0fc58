"""What a world model is trained on and judged by: episodes held out, and data that says what actions do."""

from __future__ import annotations

import math

import numpy as np

from playloop.core.minecraft import ACTION_NAMES
from playloop.demos.lerobot.dataset import Demonstrations


def held_out(episodes: int, share: float, seed: int) -> np.ndarray:
    """Which episodes of a data set are for validation, bool [episodes]; at least one if the share is not 0.

    Raises:
        ValueError: nothing would be left to train on.
    """
    count = min(max(1, round(share * episodes)), episodes) if share > 0 else 0
    if count == episodes:
        raise ValueError(
            f"validation={share} of {episodes} episodes leaves none to train on; use validation=0, or more."
        )
    chosen = np.zeros(episodes, dtype=bool)
    chosen[np.random.default_rng([seed, episodes]).permutation(episodes)[:count]] = True
    return chosen


def check_steps(dataset: Demonstrations) -> None:
    """Refuse a data set from which a model of frames cannot learn what Minecraft's keys do.

    Raises:
        ValueError: it has other actions, or between two of its rows lie actions that are not stored.
    """
    contract, fps = dataset.contract, dataset.fps
    if contract is None or contract.action_names != ACTION_NAMES:
        raise ValueError(
            f"{dataset.root} was not recorded with the actions of MineRL: what its keys do cannot be "
            "learned here. Record with env=craft, env=luanti or env=minerl, or take VPT's recordings."
        )
    if not math.isclose(fps, contract.control_hz, rel_tol=0.01):
        raise ValueError(
            f"{dataset.root} has {fps:g} rows a second and its environment {contract.control_hz:g} actions: "
            "those between two rows are not stored, so that none leads from a frame to the next. Record with "
            "stride=1."
        )
