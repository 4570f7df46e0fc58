"""What policies of Bridge and Fractal say → what SimplerEnv's robots take, as the published evaluators do.

Policies of both give a movement of the hand in metres, its rotation as roll, pitch and yaw in radians, and
how far the gripper is to be open, 0 … 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

STICKY = 15
"""Steps for which the Google robot's gripper goes on with a command."""
THRESHOLD = 0.5


def axis_angle_of(angles: np.ndarray) -> np.ndarray:
    """Roll, pitch and yaw about the fixed axes x, y, z, in this order, → axis times angle, [..., 3] each.

    Angles of at most half a turn: what `transforms3d.euler2axangle` gives, as published.
    """
    return _rotate(angles, lambda a: Rotation.from_euler("xyz", a).as_rotvec())


def angles_of(axis_angle: np.ndarray) -> np.ndarray:
    """The inverse of `axis_angle_of` where the pitch is less than a quarter turn."""
    return _rotate(axis_angle, lambda a: Rotation.from_rotvec(a).as_euler("xyz"))


def absolute_gripper(opening: float) -> float:
    """WidowX: open or not → +1 opens, -1 closes."""
    return 2.0 * (opening > THRESHOLD) - 1.0


@dataclass(frozen=True)
class Grip:
    """What the Google robot's gripper remembers.

    Args:
        opening: that the policy chose last, None before its first action.
        command: that goes on.
        left: steps for which it does.
    """

    opening: float | None = None
    command: float = 0.0
    left: int = 0


def relative_gripper(grip: Grip, opening: float, repeats: int = STICKY) -> tuple[Grip, float]:
    """Google robot: what is commanded → how much more closed than before, +1 closes, -1 opens.

    One step of a change is too short for the gripper to get there. A change of more than a half is therefore
    given again for `repeats` steps in all, during which whatever else is commanded does not count.
    """
    change = 0.0 if grip.opening is None else grip.opening - opening
    command, left = (grip.command, grip.left) if grip.left else (change, 0)
    if not left and abs(change) > THRESHOLD:
        left = repeats
    left = max(left - 1, 0)
    return Grip(opening, command if left else 0.0, left), command


def _rotate(vectors: np.ndarray, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    vectors = np.asarray(vectors, float)
    if vectors.shape[-1:] != (3,):
        raise ValueError(f"expected [..., 3] angles or axes, got {vectors.shape}")
    return convert(vectors.reshape(-1, 3)).reshape(vectors.shape)


@dataclass(frozen=True, eq=False)
class Scaling:
    """What a network gives → metres, radians and opening: `scale * value + offset`, dimension by dimension.

    Args:
        scale: [A], no zeros.
        offset: [A].
        limit: values are clipped to [-limit, limit] first; None: they are not.
    """

    scale: np.ndarray
    offset: np.ndarray
    limit: float | None = None

    def __post_init__(self) -> None:
        if np.shape(self.scale) != np.shape(self.offset) or not np.all(self.scale):
            raise ValueError(f"scale {self.scale} and offset {self.offset} differ in length, or a scale is 0")

    @classmethod
    def from_moments(cls, mean: np.ndarray, std: np.ndarray) -> Scaling:
        """Octo: values are standard deviations from the mean. A gripper that is left alone has 0 and 1."""
        return cls(np.asarray(std, float), np.asarray(mean, float))

    @classmethod
    def from_quantiles(cls, q01: np.ndarray, q99: np.ndarray, mask: np.ndarray) -> Scaling:
        """OpenVLA: [-1, 1] are the first and the last percentile; where the mask is False a value stays."""
        low, high = np.asarray(q01, float), np.asarray(q99, float)
        return cls(np.where(mask, (high - low) / 2, 1.0), np.where(mask, (high + low) / 2, 0.0))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """[..., A] → [..., A]."""
        values = np.asarray(values, float)
        if self.limit is not None:
            values = np.clip(values, -self.limit, self.limit)
        return self.scale * values + self.offset

    def undo(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `apply` within its limits."""
        return (np.asarray(values, float) - self.offset) / self.scale
