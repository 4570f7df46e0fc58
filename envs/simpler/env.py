"""What both robots of SimplerEnv share: how a suite is judged, poses, pictures over a photograph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from playloop.core.contract import Contract
from playloop.envs.base import PlayEnv
from playloop.envs.outcome import Outcome

TURN = np.pi / 2
"""Bound of the action space, radians a step: what is sensible, nothing is clipped to it."""


@dataclass(frozen=True)
class Terms:
    """How a suite is played: what its environment is given of the settings.

    Args:
        suite: name in an episode's identity.
        contract: the declared conventions.
        limits: most actions of an episode, by the number of its task.
        hold: for how many steps running the goal must hold; None: at its last step.
        traced: whether pictures with a cabinet follow light rays.
    """

    suite: str
    contract: Contract
    limits: tuple[int, ...]
    hold: int | None = None
    traced: bool = False

    def succeeded(self, held: int, last: bool) -> bool:
        """Whether an episode succeeds now.

        Args:
            held: steps running for which the goal has held.
            last: this step is the episode's last.
        """
        return held > 0 and last if self.hold is None else held >= self.hold


class SimplerEnv(PlayEnv):
    """A suite's environment: a new scene for every episode, judged by the suite's terms.

    Args:
        terms: of the suite.
        reach: bound of the action space, metres a step; nothing is clipped to it.
        render_mode: see `PlayEnv`.
    """

    def __init__(self, terms: Terms, reach: float, render_mode: str | None) -> None:
        bound = np.array([reach] * 3 + [TURN] * 3 + [1.0], np.float32)
        space = gym.spaces.Box(-bound, bound, dtype=np.float32)
        super().__init__(terms.contract, max(terms.limits), render_mode, space)
        self.terms = terms
        self._steps = self._held = 0

    def _start(self, task: int) -> None:
        """Count an episode's actions from now on."""
        self.horizon = self.terms.limits[task]
        self._steps = self._held = 0

    def _outcome(self, holds: bool, info: dict[str, Any]) -> Outcome:
        """What an action led to, after which the goal holds or not; `_steps` counts it already."""
        self._held = self._held + 1 if holds else 0
        last = self._steps >= self.horizon
        success = self.terms.succeeded(self._held, last)
        return Outcome(float(success), success, terminated=success, truncated=last and not success, info=info)


@contextmanager
def replaced(thing: Any, attributes: dict[str, Any]) -> Iterator[None]:
    """While it lasts, some attributes of one object are others."""
    before = {name: vars(thing)[name] for name in attributes if name in vars(thing)}
    vars(thing).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(thing)[name]
        vars(thing).update(before)


def pose_vector(pose: Any) -> np.ndarray:
    """`sapien.Pose` → position and quaternion (w, x, y, z), float64 [7]."""
    return np.concatenate([pose.p, pose.q]).astype(np.float64)


def matrix_of(pose: Any) -> np.ndarray:
    """`sapien.Pose` → float64 [4, 4]."""
    return np.asarray(pose.to_transformation_matrix(), np.float64)


def parts_of(entity: Any) -> Iterator[Any]:
    """The parts of an entity that are drawn, each with its material."""
    import sapien

    body = entity.find_component_by_type(sapien.render.RenderBodyComponent)
    for shape in body.render_shapes if body else ():
        yield from getattr(shape, "parts", [shape])


def composite(drawn: np.ndarray, segments: np.ndarray, keep: Iterable[int], photo: np.ndarray) -> np.ndarray:
    """The photograph, with what was drawn of some things in front of it.

    Args:
        drawn: the simulator's picture [H, W, 3].
        segments: which thing each pixel shows, whole numbers [H, W] from 0.
        keep: numbers of the things that are kept.
        photo: of the same shape, type and range.
    """
    kept = np.zeros(int(segments.max()) + 1, bool)
    kept[[number for number in keep if number < len(kept)]] = True
    return np.where(kept[segments][..., None], drawn, photo)
