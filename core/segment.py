"""What executing one plan produced: the unit in which experience leaves an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Segment:
    """The n steps of one plan, n ≥ 1; shorter than the plan if the episode ended in it.

    Everything except `rewards` and `success` is what held *before* the action of the same row.

    Args:
        actions: float32 [n, A], as executed.
        states: float32 [n, S], `state` of the observation.
        rewards: float64 [n].
        success: bool [n], whether the success rule held after the action.
        frames: camera → uint8 [n, H, W, 3]; None unless a callback wants frames.
        snapshots: float64 [n, K] simulator states; None unless a callback wants a trace.
        privileged: name → [n, …] ground truth; None unless a callback wants a trace.
        plan_info: the `info` of the plan.
        instruction: the task in words.
        last: the episode ends with this segment.
        final_frames: camera → uint8 [H, W, 3] after the last action; only if frames are wanted and `last`.
    """

    actions: np.ndarray
    states: np.ndarray
    rewards: np.ndarray
    success: np.ndarray
    instruction: str
    last: bool
    frames: dict[str, np.ndarray] | None = None
    snapshots: np.ndarray | None = None
    privileged: dict[str, np.ndarray] | None = None
    plan_info: dict[str, Any] | None = None
    final_frames: dict[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.actions)
