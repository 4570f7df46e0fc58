"""Action vectors of a VPT recording, with the faults mended that every reader of these files meets."""

from __future__ import annotations

import numpy as np

from playloop.core.minecraft import ACTION_SIZE, BUTTONS, MAX_TURN, place_of
from playloop.demos.vpt.lines import Lines
from playloop.tokenizers.minecraft import HOTBAR, clean_conflicts

ATTACK = place_of("attack")
SLOTS = [place_of(name) for name in HOTBAR]


def action_vectors(lines: Lines) -> np.ndarray:
    """Float32 [n, 25]: the action of line i is taken at frame i and leads to frame i + 1.

    The stuck attack button is released, the hotbar's keys follow the selected slot, keys that cancel each
    other are released, and turns keep their fractions of a degree.
    """
    vectors = np.zeros((len(lines.held), ACTION_SIZE), np.float32)
    vectors[:, : len(BUTTONS)] = lines.held
    vectors[:, ATTACK] = release_stuck_attack(lines.held[:, ATTACK], lines.pressed[:, ATTACK])
    if (lines.hotbar >= 0).all():
        vectors[:, SLOTS] = hotbar_presses(lines.hotbar, lines.pressed[:, SLOTS], lines.wheel)
    vectors[:, -2:] = np.clip(lines.turn, -MAX_TURN, MAX_TURN)
    return clean_conflicts(vectors)


def release_stuck_attack(held: np.ndarray, pressed: np.ndarray) -> np.ndarray:
    """Attack without what is held from the first line on: some recordings begin with the button stuck.

    Args:
        held: bool [n].
        pressed: bool [n], where the button goes down. The first line's press is the stuck one; the next is
            the player's.
    """
    if not held[0]:
        return held
    real = np.flatnonzero(pressed[1:])
    freed = held.copy()
    freed[: real[0] + 1 if len(real) else None] = False
    return freed


def hotbar_presses(selected: np.ndarray, pressed: np.ndarray, wheel: np.ndarray) -> np.ndarray:
    """The hotbar's keys as the game took them: one press wherever another slot becomes selected.

    The wheel selects as well and leaves no key; a key that is held or selects the same slot does nothing. A
    change counts for the line with the key or the wheel that caused it, which may be the line before.

    Args:
        selected: int64 [n], slots from 0.
        pressed: bool [n, 9], number keys that went down.
        wheel: bool [n].

    Returns:
        bool [n, 9].
    """
    presses = np.zeros((len(selected), len(HOTBAR)), bool)
    changes = np.diff(selected, prepend=selected[0]) != 0
    for row in np.flatnonzero(changes):
        slot = selected[row]
        before, now = pressed[row - 1 : row + 1, slot] | wheel[row - 1 : row + 1]
        late = before and not now and not changes[row - 1]
        presses[row - 1 if late else row, slot] = True
    return presses


def null_actions(vectors: np.ndarray) -> np.ndarray:
    """Where action vectors [n, 25] hold no button and turn nothing, bool [n]."""
    return (vectors == 0).all(axis=1)
