"""What an episode shows, step by step, as hashes: equal ones mean equal episodes, to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv
from playloop.envs.outcome import Outcome

DRAWN = (0, 5)
"""Steps before which pictures are drawn, as after the last: what lingers shows at once, what moved later."""

Act = Callable[[PlayEnv, np.random.Generator], np.ndarray]
"""The next action. It may read the truth: what it does is kept and given again to the other episodes."""
Row = dict[str, bytes]
"""Name → hash of what holds before an action; "outcome" is what the one before led to."""


@dataclass
class Trace:
    """One episode.

    Args:
        episode: that was played.
        actions: as given.
        rows: one before each action and one after the last.
        shots: snapshots of the rows that were drawn, by row; empty where nothing can be restored.
        truths: the truth at the beginning and at the end.
        ended: whether the episode was over, not left in its middle.
    """

    episode: Episode
    actions: list[np.ndarray] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    shots: dict[int, np.ndarray] = field(default_factory=dict)
    truths: list[dict[str, np.ndarray]] = field(default_factory=list)
    ended: bool = False

    def moved(self, prefix: str | tuple[str, ...]) -> bool:
        """Whether some truth whose name begins so changed by more than a thousandth."""
        first, last = self.truths
        return any(
            last[name].shape != value.shape or (np.abs(last[name] - value.astype(float)) > 1e-3).any()
            for name, value in first.items()
            if name.startswith(prefix)
        )


def wild(env: PlayEnv, rng: np.random.Generator) -> np.ndarray:
    """Any action of the action space."""
    space: Any = env.action_space
    return rng.uniform(space.low, space.high).astype(np.float32)


def record(env: PlayEnv, episode: Episode, steps: int, act: Act = wild, look: bool = True) -> Trace:
    """Play an episode by actions that follow from its identity."""
    rng = episode.rng("conformance")
    return _play(env, Trace(episode), lambda _: act(env, rng), steps, look)


def repeat(env: PlayEnv, known: Trace, look: bool = True, steps: int | None = None) -> Trace:
    """Play the same episode by the same actions, all or the first so many."""
    count = len(known.actions) if steps is None else steps
    return _play(env, Trace(known.episode), lambda number: known.actions[number], count, look)


def difference(first: Trace, other: Trace) -> str:
    """Where the other departs from the first, in words; "" if it is the same to its end."""
    if len(first.rows) != len(other.rows):
        return f"it has {len(other.rows) - 1} steps instead of {len(first.rows) - 1}"
    for step, (one, two) in enumerate(zip(first.rows, other.rows, strict=True)):
        if found := row_difference(one, two):
            return f"{', '.join(found)} after step {step}"
    return ""


def row_difference(one: Row, two: Row) -> list[str]:
    """Names of what differs; pictures that only one of the two has do not count."""
    names = [
        name for name in {**one, **two} if not name.startswith("picture") or (name in one and name in two)
    ]
    return [name for name in names if one.get(name) != two.get(name)]


def row_of(env: PlayEnv, outcome: Outcome | None, look: bool) -> Row:
    """All that the environment shows now."""
    seen = env.observe(images=look)
    row = {"state": _hash(seen["state"]), "instruction": seen["instruction"].encode()}
    row |= {f"truth of {name}": _hash(value) for name, value in env.privileged().items()}
    if look:
        row |= {f"picture of {camera}": _hash(image) for camera, image in seen["images"].items()}
    if outcome is not None:
        flags = [outcome.success, outcome.terminated, outcome.truncated]
        partial = {name: outcome.info.get(name) for name in env.contract.partial}
        row["outcome"] = repr((float(outcome.reward), flags, partial)).encode()
    if env.contract.restorable:
        row["snapshot"] = _hash(env.snapshot())
    return row


def _play(env: PlayEnv, trace: Trace, choose: Callable[[int], np.ndarray], steps: int, look: bool) -> Trace:
    env.begin(trace.episode)
    steps = min(steps, env.horizon)
    outcome, over = None, False
    for number in range(steps + 1):
        over = over or number == steps
        shown = look and (over or number in DRAWN)
        if shown and env.contract.restorable:
            trace.shots[number] = env.snapshot()
        trace.rows.append(row_of(env, outcome, shown))
        if over or not number:
            trace.truths.append({name: np.array(value) for name, value in env.privileged().items()})
        if over:
            break
        trace.actions.append(choose(number))
        outcome = env.advance(trace.actions[-1])
        over = trace.ended = outcome.terminated or outcome.truncated
    return trace


def _hash(value: np.ndarray) -> bytes:
    value = np.ascontiguousarray(value)
    return hashlib.blake2b(value.tobytes() + f"{value.dtype}{value.shape}".encode(), digest_size=8).digest()
