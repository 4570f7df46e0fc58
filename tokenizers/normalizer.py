"""Statistics of a data set, and the quantile normalisation that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
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


def is_gripper(name: str) -> bool:
    """Whether an action of a contract is a gripper's, which has two positions and is never normalised."""
    return "gripper" in name


def compute_statistics(
    actions: np.ndarray, states: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """What a checkpoint carries about its data: statistics of actions [N, A] and states [N, S].

    Args:
        actions: of all rows.
        states: likewise.
        names: of the actions, as the contract has them: those of grippers have the mask False, and are never
            normalised. None: the last one is a gripper, as in published data.
    """
    action, count = summarize(actions), np.shape(actions)[1]
    if names is not None and len(names) != count:
        raise ValueError(f"{count} actions cannot have the names {', '.join(names)}")
    last = [True] * (count - 1) + [False]
    action["mask"] = last if names is None else [not is_gripper(name) for name in names]
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
        """From one entry of `compute_statistics`; a ValueError names a damaged field."""
        if not isinstance(statistics, dict):
            raise ValueError(f"the statistics are {shortened(statistics)}; use an object with q01 and q99")
        missing = {"q01", "q99"} - set(statistics)
        if missing:
            raise ValueError(f"the statistics lack {sorted(missing)}; compute them with compute_statistics()")
        q01, q99 = (finite_list(name, statistics[name]) for name in ("q01", "q99"))
        listed = statistics.get("mask", [True] * len(q01))
        if not isinstance(listed, list) or not all(isinstance(value, bool) for value in listed):
            raise ValueError(
                f"the statistics' mask is {shortened(listed)}; use true or false for each dimension"
            )
        mask = np.array(listed, bool)
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


def shortened(value: Any) -> str:
    """A value from a file as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def finite_list(name: str, values: Any) -> np.ndarray:
    """A list of finite numbers, float64 [S]; what only reads as one, text for instance, is refused."""
    plain = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    try:
        found = np.array(values, np.float64) if plain else None
    except OverflowError:  # a whole number that no float holds
        found = None
    if found is None or not np.isfinite(found).all():
        raise ValueError(f"the statistics' {name} is {shortened(values)}; use a list of finite numbers")
    return found
