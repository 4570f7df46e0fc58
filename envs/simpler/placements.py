"""Fresh placements of Bridge's objects, for demonstrations: near the published layouts, never one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

TOO_NEAR = 0.003
"""Metres: a placement whose objects are all nearer than this to a published layout's is drawn again."""


@dataclass(frozen=True)
class Room:
    """Where a task's objects may be put.

    Args:
        spread: metres of the source and the target to either side of the middle, [2, 2] as x, y.
        gap: least distance between the two, metres.
        turn: the source's and the target's yaw may differ by so much, radians, from a published one.
    """

    spread: tuple[tuple[float, float], tuple[float, float]]
    gap: float
    turn: tuple[float, float]


TABLE = ((0.1, 0.1), (0.1, 0.1))
ROOMS = {
    "bridge_spoon_generated_modified": Room(TABLE, 0.14, (np.pi, 0.15)),
    "bridge_carrot_generated_modified": Room(TABLE, 0.14, (np.pi, 0.15)),
    "baked_green_cube_3cm": Room(((0.115, 0.115), (0.115, 0.115)), 0.08, (np.pi / 4, np.pi / 4)),
    "eggplant": Room(((0.015, 0.025), (0.0, 0.0)), 0.0, (np.pi / 2, 0.0)),
}
"""Source object → its room; around the middle of the published positions."""


@dataclass(frozen=True)
class BridgeLayout:
    """Positions [2, 3] in metres and rotations [2, 4] (w, x, y, z) of source and target."""

    positions: np.ndarray
    turns: np.ndarray

    def alone(self) -> dict[str, Any]:
        """Attributes of a ManiSkill environment that knows this layout only, number 0."""
        import torch

        found = {"xyz_configs": self.positions, "quat_configs": self.turns}
        return {name: torch.from_numpy(part.astype(np.float32))[None] for name, part in found.items()}


def published(simulation: Any) -> list[BridgeLayout]:
    """The layouts of a ManiSkill environment in the order of their numbers."""
    positions, turns = (np.asarray(x, float) for x in (simulation.xyz_configs, simulation.quat_configs))
    return [BridgeLayout(position, turn) for position in positions for turn in turns]


def draw(source: str, known: list[BridgeLayout], rng: np.random.Generator) -> BridgeLayout:
    """A placement of its own, between and around the published ones.

    Args:
        source: the name of what is moved.
        known: the published layouts.
        rng: all of the randomness.
    """
    room = ROOMS[source]
    positions = np.stack([layout.positions for layout in known])  # [N, 2, 3]
    low, high = positions.min((0, 1)), positions.max((0, 1))
    middles = [(low + high) / 2] * 2 if room.gap else list(positions.mean(0))
    while True:
        like = known[int(rng.integers(len(known)))]
        drawn = like.positions.copy()
        for index in range(2):
            spread = np.array(room.spread[index])
            drawn[index, :2] = middles[index][:2] + rng.uniform(-spread, spread)
        yaws = rng.uniform(-1.0, 1.0, 2) * room.turn
        turns = np.stack([_turned(q, yaw) for q, yaw in zip(like.turns, yaws, strict=True)])
        apart = np.linalg.norm(drawn[0, :2] - drawn[1, :2])
        nearest = np.abs(positions - drawn)[..., :2].max((1, 2)).min()
        if apart >= room.gap and nearest > TOO_NEAR:
            return BridgeLayout(drawn, turns)


def _turned(quaternion: np.ndarray, yaw: float) -> np.ndarray:
    """A rotation (w, x, y, z) followed by one about the vertical."""
    turn = Rotation.from_euler("z", yaw) * Rotation.from_quat(quaternion, scalar_first=True)
    return turn.as_quat(scalar_first=True)
