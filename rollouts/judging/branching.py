"""The true game, branched from states of recorded episodes into single actions."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.core.minecraft import action_vector
from playloop.envs.craft.env import Craft, CraftConfig
from playloop.rollouts.judging.clips import Clip, Recordings
from playloop.tokenizers.minecraft import CompactActions, MineWorldActions

BRANCHES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "forward": {"forward": 1},
    "back": {"back": 1},
    "left": {"left": 1},
    "right": {"right": 1},
    "jump": {"jump": 1},
    "attack": {"attack": 1},
    "turn left": {"camera": (0.0, -6.0)},
    "turn right": {"camera": (0.0, 6.0)},
    "look up": {"camera": (-6.0, 0.0)},
    "look down": {"camera": (6.0, 0.0)},
}
"""What is held, each for all frames of a branch; angles in degrees a frame."""


def branch_actions(form: CompactActions | MineWorldActions) -> np.ndarray:
    """The branches as action vectors [k, 25]; angles are ones that the model's form of an action has, so that
    the game and the model are told the same."""
    return form.decode(form.encode(np.stack([action_vector(keys) for keys in BRANCHES.values()])))


@dataclass
class Point:
    """A state of the game at the end of a clip, and what every action leads to."""

    clip: Clip
    frames: np.ndarray  # of the clip as the game draws them, uint8 [T, H, W, 3]
    actions: np.ndarray  # between them, float32 [T - 1, 25]
    branches: np.ndarray  # frames after each action, uint8 [k, F, H, W, 3]


class Brancher:
    """Plays recorded episodes of the voxel world again in the true game and branches off.

    Raises:
        ValueError: the recordings do not say which episodes they are.
    """

    def __init__(self, recordings: Recordings, form: CompactActions | MineWorldActions):
        self.recordings, self.actions = recordings, branch_actions(form)
        self.env = Craft(game_config(recordings.contract))
        for dataset in recordings.datasets.values():
            dataset.identity_of(0)

    def branch(self, clip: Clip, count: int) -> Point:
        """The state at the end of a clip, and `count` frames of every action from there.

        Raises:
            ValueError: the game goes another way than when it was recorded.
        """
        dataset = self.recordings.datasets[clip.source]
        rows = self.recordings.rows(clip)
        actions = dataset.column("action")[dataset.starts[clip.episode] : rows[-1]].astype(np.float32)
        self.env.begin(dataset.identity_of(clip.episode))
        frames = []
        for step in range(len(actions) + 1):
            if step >= clip.start:
                frames.append(self._picture())
            if step < len(actions):
                self.env.advance(actions[step])
        state = self.env.observe(images=False)["state"]
        if not np.allclose(state, dataset.column("observation.state")[rows[-1]], atol=1e-4):
            raise ValueError(
                f"{dataset.root}: this version of the game goes another way than it was recorded."
            )
        branches = [self._hold(action, count) for action in self.actions]
        return Point(clip, np.stack(frames), actions[clip.start :], np.stack(branches))

    def _hold(self, action: np.ndarray, count: int) -> np.ndarray:
        game, self.env.game = self.env.game, copy.deepcopy(self.env.game)
        frames = []
        for _ in range(count):
            self.env.advance(action)
            frames.append(self._picture())
        self.env.game = game
        return np.stack(frames)

    def _picture(self) -> np.ndarray:
        return self.recordings.picture(next(iter(self.env.observe()["images"].values())))


def game_config(contract: Contract) -> CraftConfig:
    """The settings of the voxel world that a contract was made with."""
    facts = contract.protocol.split(", ")
    size = next(iter(contract.cameras.values()))
    return CraftConfig(size, daylight="daylight=True" in facts, hud="no display" not in facts)
