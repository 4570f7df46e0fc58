"""Statistics of a data set, and the quantile normalisation that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-8
"""Added to the span in both directions, unless said otherwise. OpenVLA-OFT adds it; OpenVLA does not."""

FIELDS = ("q01", "q99", "mean", "std", "min", "max")


def summarize(values: np.ndarray) -> dict[str, Any]:
    """Per-dimension statistics of values [N, S], ready for JSON."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"statistics need finite values [N, S] with N > 0, got shape {values.shape}")
    q01, q99 = np.quantile(values, [0.01, 0.99], axis=0)
    arrays = (q01, q99, values.mean(0), values.std(0), values.min(0), values.max(0))
    return {"count": len(values)} | {n: a.tolist() for n, a in zip(FIELDS, arrays, strict=True)}


def compute_statistics(actions: np.ndarray, states: np.ndarray) -> dict[str, Any]:
    """What a checkpoint carries about its data: statistics of actions [N, A] and states [N, S].

    The last action is the gripper by convention; its mask is False, it is never normalised.
    """
    action = summarize(actions)
    action["mask"] = [True] * (np.shape(actions)[1] - 1) + [False]
    return {"action": action, "state": summarize(states)}


@dataclass(frozen=True, eq=False)
class QuantileNormalizer:
    """Maps [q01, q99] of each dimension to [-1, 1], and back exactly.

    Args:
        q01: float64 [S].
        q99: float64 [S].
        mask: bool [S]; dimensions with False pass through both ways.
        limit: normalised values are clipped to [-limit, limit].
        epsilon: added to the span in both directions.
    """

    q01: np.ndarray
    q99: np.ndarray
    mask: np.ndarray
    limit: float = 1.0
    epsilon: float = EPSILON

    @classmethod
    def from_statistics(
        cls, statistics: dict[str, Any], limit: float = 1.0, epsilon: float = EPSILON
    ) -> QuantileNormalizer:
        """From one entry of `compute_statistics`.

        Raises:
            ValueError: a field is missing, damaged or of another length.
        """
        missing = {"q01", "q99"} - set(statistics)
        if missing:
            raise ValueError(f"the statistics lack {sorted(missing)}; compute them with compute_statistics()")
        q01, q99 = (_finite(name, statistics[name]) for name in ("q01", "q99"))
        mask = np.asarray(statistics.get("mask", [True] * len(q01)))
        if mask.dtype != bool:
            raise ValueError(f"the statistics' mask is {mask.tolist()}; use true or false for each dimension")
        if not q01.shape == q99.shape == mask.shape or (q99 < q01).any():
            raise ValueError("the statistics' q01, q99 and mask differ in length, or q99 lies below q01")
        return cls(q01, q99, mask, limit, epsilon)

    @property
    def size(self) -> int:
        """Number of dimensions."""
        return len(self.q01)

    def normalize(self, values: Tensor) -> Tensor:
        """[..., S] of any float type → float64 [..., S]. A dimension that never varied becomes 0."""
        low, span, varies = self._constants(values.device)
        values = values.double()
        scaled = torch.where(varies, 2 * (values - low) / (span + self.epsilon) - 1, values.new_zeros(()))
        mask = torch.as_tensor(self.mask, device=values.device)
        return torch.where(mask, scaled.clamp(-self.limit, self.limit), values)

    def restore(self, normalized: Tensor) -> Tensor:
        """The inverse of `normalize`, float64 [..., S]."""
        low, span, _ = self._constants(normalized.device)
        normalized = normalized.double()
        mask = torch.as_tensor(self.mask, device=normalized.device)
        return torch.where(mask, 0.5 * (normalized + 1) * (span + self.epsilon) + low, normalized)

    def _constants(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        low = torch.as_tensor(self.q01, device=device)
        span = torch.as_tensor(self.q99 - self.q01, device=device)
        return low, span, span > 0


def _finite(name: str, values: Any) -> np.ndarray:
    """A list of finite numbers, float64 [S]; what only reads as one, text for instance, is none."""
    found = np.asarray(values)
    if found.dtype.kind not in "iuf" or found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"the statistics' {name} is {values}; use a list of finite numbers")
    return found.astype(np.float64)
