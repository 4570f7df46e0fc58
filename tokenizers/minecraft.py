"""Minecraft actions as tokens: MineWorld's, and a compact form for small world models.

All take and give action vectors [..., 25] of `playloop.core.minecraft`; what a form cannot express (two
opposite keys, the inventory key, the exact turn) is lost in `encode` and stays lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from playloop.core.minecraft import ACTION_SIZE, index_of
from playloop.tokenizers.camera import FINE, MINEWORLD, CameraBins

HOTBAR = tuple(f"hotbar.{number}" for number in range(1, 10))
GROUPS: tuple[tuple[str, ...], ...] = (
    HOTBAR,
    ("forward", "back"),
    ("left", "right"),
    ("sprint", "sneak"),
    ("use", "attack"),
    ("jump",),
    ("drop", "pickItem"),
)
"""Keys of which a token names at most one, in MineWorld's order."""
CONFLICTS = (
    ("forward", "back"),
    ("left", "right"),
    ("jump", "sneak"),
    ("sprint", "sneak"),
    ("attack", "use"),
)
"""Pairs of keys that cancel each other in recordings."""


def clean_conflicts(vectors: np.ndarray) -> np.ndarray:
    """A copy of action vectors [..., 25] in which both keys of a conflicting pair are released.

    All pairs are judged by what was held, as MineWorld does with raw recordings; VPT keeps such keys.
    """
    cleaned = vectors.copy()
    for pair in CONFLICTS:
        indices = [index_of(name) for name in pair]
        both = (vectors[..., indices] > 0.5).all(-1, keepdims=True)
        cleaned[..., indices] = np.where(both, 0, cleaned[..., indices])
    return cleaned


def choose(vectors: np.ndarray, group: tuple[str, ...]) -> np.ndarray:
    """Which key of the group is held, from 1, int64 [...]; 0 for none and for two of them.

    MineWorld's rule, and that of its metric: of the hotbar's keys, though, the first one counts.
    """
    held = vectors[..., [index_of(name) for name in group]] > 0.5
    one = held.any(-1) if group is HOTBAR else held.sum(-1) == 1
    return np.where(one, held.argmax(-1) + 1, 0)


def press(vectors: np.ndarray, group: tuple[str, ...], choice: np.ndarray) -> None:
    """Write the inverse of `choose` into action vectors."""
    for number, name in enumerate(group, 1):
        vectors[..., index_of(name)] = choice == number


def _checked(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors)
    if vectors.shape[-1:] != (ACTION_SIZE,):
        raise ValueError(f"expected action vectors [..., {ACTION_SIZE}], got {vectors.shape}")
    return vectors


@dataclass(frozen=True)
class CompactActions:
    """An action as nine small classes: the keys of every group, then pitch and yaw.

    A world model sums one embedding for each, so that an action costs one token instead of eleven.

    Args:
        camera: of both angles.
    """

    camera: CameraBins = FINE

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes in every slot."""
        return (*(len(group) + 1 for group in GROUPS), self.camera.count, self.camera.count)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Action vectors [..., 25] → int64 [..., 9]."""
        vectors = _checked(vectors)
        keys = np.stack([choose(vectors, group) for group in GROUPS], -1)
        return np.concatenate([keys, self.camera.encode(vectors[..., -2:])], -1)

    def decode(self, classes: np.ndarray) -> np.ndarray:
        """int64 [..., 9] → action vectors, float32 [..., 25]."""
        vectors = np.zeros((*classes.shape[:-1], ACTION_SIZE), np.float32)
        for slot, group in enumerate(GROUPS):
            press(vectors, group, classes[..., slot])
        vectors[..., -2:] = self.camera.decode(classes[..., -2:])
        return vectors


NAMES = (
    *("use", "attack", "forward", "back", "left", "right", "jump", "sneak", "sprint", "drop", "swapHands"),
    *("pickItem", "inventory", "ESC", *HOTBAR),
)
"""MineWorld's keys in the order of their ids; three of them are never emitted."""


@dataclass(frozen=True)
class MineWorldActions:
    """MineWorld's eleven tokens: begin, pitch, yaw, a token a group or null, end (arXiv 2504.08388).

    Args:
        first: the first action id; below it are the frame's.
        camera: `MINEWORLD`, or `MINEWORLD_COMPAT` for the ids that the release gives raw turns (of a VPT
            record or a mouse), which its weights were trained on: it drops fractions of a degree where it
            reads such records. Its tokenizer does not: actions that are dictionaries already (the release's
            own validation files) have the ids that `MINEWORLD` gives them.
    """

    first: int = 8192
    camera: CameraBins = MINEWORLD

    length = 3 + len(GROUPS) + 1

    @property
    def cameras(self) -> tuple[int, int]:
        """The ids of bin 0 of pitch and of yaw."""
        pitch = self.first + len(NAMES)
        return pitch, pitch + self.camera.count

    @property
    def begin(self) -> int:
        """The id that opens an action; null and the end follow it."""
        return self.cameras[1] + self.camera.count

    @property
    def ids(self) -> range:
        """All action ids."""
        return range(self.first, self.begin + 3)

    def _group_ids(self, group: tuple[str, ...]) -> np.ndarray:
        """The ids of null and of the group's keys."""
        return np.array([self.begin + 1, *(self.first + NAMES.index(name) for name in group)])

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Action vectors [..., 25] → int64 [..., 11]."""
        vectors = _checked(vectors)
        ends = np.full((*vectors.shape[:-1], 1), self.begin)
        camera = self.camera.encode(vectors[..., -2:]) + np.array(self.cameras)
        keys = np.stack([self._group_ids(group)[choose(vectors, group)] for group in GROUPS], -1)
        return np.concatenate([ends, camera, keys, ends + 2], -1)

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """int64 [..., 11], every id in a slot of its own, → action vectors, float32 [..., 25]."""
        bins = ids[..., 1:3] - np.array(self.cameras)
        if ids.shape[-1] != self.length or (bins < 0).any() or (bins >= self.camera.count).any():
            raise ValueError(f"expected [..., {self.length}] with camera ids in slots 1 and 2")
        vectors = np.zeros((*ids.shape[:-1], ACTION_SIZE), np.float32)
        vectors[..., -2:] = self.camera.decode(bins)
        for slot, group in enumerate(GROUPS, 3):
            match = ids[..., slot, None] == self._group_ids(group)
            if not match.any(-1).all():
                raise ValueError(f"slot {slot} holds an id that names none of {group} and not null")
            press(vectors, group, match.argmax(-1))
        return vectors
