"""Plays without looking: every key held or not by chance, for data in which nothing follows from the picture.

A world model trained on goals alone learns what a player would do next and ignores the keys; here each key is
independent of the frame and of the other keys, and held for times of many lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from playloop.agents.base import Plan, RowAgent
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.minecraft import ACTION_NAMES, ACTION_SIZE, index_of

GROUPS: tuple[tuple[tuple[str, ...], tuple[float, ...], float], ...] = (
    (("forward", "back"), (0.5, 0.14), 14.0),
    (("left", "right"), (0.14, 0.14), 10.0),
    (("sprint", "sneak"), (0.2, 0.12), 24.0),
    (("jump",), (0.22,), 8.0),
    (("attack", "use"), (0.36, 0.12), 20.0),
)
"""Keys of which one at most is held; the share of time of each; mean ticks until another is drawn."""
TAPS = (("drop", 0.012), ("pickItem", 0.006), ("swapHands", 0.003))
"""Keys that are pressed for one tick, and how often."""
HOTBAR_RATE = 0.025
TURNS = (0.35, 3.0, 14.0, 9.0)
"""The view: share of time at rest, degrees a tick of slow and of fast turns, mean ticks of a turn."""
PITCH = -30.0, 55.0
"""Between these the pitch that the view drifts to is drawn."""


@kind("explorer")
@checked
class ExplorerConfig:
    """Settings of `Explorer`.

    Args:
        chunk: actions a decision.
        rows: episodes decided for in one call.
    """

    chunk: Count = 20
    rows: Count = 16

    def make(self) -> Explorer:
        return Explorer(self)


@dataclass
class Mood:
    """What an explorer is doing: its carry.

    Args:
        keys: held of each group, "" for none.
        turn: degrees a tick, pitch and yaw.
        pitch: of the view, as the turns so far have made it.
        aim: pitch that the view drifts to.
    """

    keys: tuple[str, ...] = ("",) * len(GROUPS)
    turn: tuple[float, float] = (0.0, 0.0)
    pitch: float = 0.0
    aim: float = 10.0


class Explorer(RowAgent):
    """Presses keys and turns the view at random; reads nothing."""

    def __init__(self, config: ExplorerConfig):
        self.config, self.rows = config, config.rows

    def prepare(self, contract: Contract) -> None:
        if contract.action_names != ACTION_NAMES:
            raise ValueError(
                f"agent=explorer presses Minecraft's keys, which env={contract.family} does not have; "
                "use env=craft, env=luanti or env=minerl"
            )

    def begin(self, episode: Episode) -> Mood:
        return Mood()

    def decide(self, carry: Mood, observation: dict[str, Any], rng: np.random.Generator) -> tuple[Mood, Plan]:
        actions = np.zeros((self.config.chunk, ACTION_SIZE), np.float32)
        for action in actions:
            carry = live(carry, rng)
            press(action, carry, rng)
        return carry, Plan(actions)


def live(mood: Mood, rng: np.random.Generator) -> Mood:
    """The mood a tick later."""
    keys = tuple(
        str(rng.choice(("", *names), p=(1 - sum(shares), *shares))) if rng.random() < 1 / ticks else held
        for held, (names, shares, ticks) in zip(mood.keys, GROUPS, strict=True)
    )
    turn, aim = mood.turn, mood.aim
    rest, slow, fast, ticks = TURNS
    if rng.random() < 1 / ticks:
        aim = float(rng.uniform(*PITCH))
        yaw = 0.0 if rng.random() < rest else float(rng.normal()) * (fast if rng.random() < 0.2 else slow)
        pitch = 0.0 if rng.random() < rest else (aim - mood.pitch) / ticks + float(rng.normal()) * 0.7
        turn = pitch, yaw
    return Mood(keys, turn, min(max(mood.pitch + turn[0], -90.0), 90.0), aim)


def press(action: np.ndarray, mood: Mood, rng: np.random.Generator) -> None:
    """Write a mood's keys and turn into an action vector, in place."""
    for name in filter(None, mood.keys):
        action[index_of(name)] = 1
    for name, rate in TAPS:
        action[index_of(name)] = rng.random() < rate
    if rng.random() < HOTBAR_RATE:
        action[index_of(f"hotbar.{rng.integers(1, 10)}")] = 1
    action[-2:] = mood.turn
