"""What one action led to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """What one action led to.

    Args:
        reward: reward of this step.
        success: the suite's success rule holds now; ends the episode.
        terminated: the episode is over by its own rule (success, death).
        truncated: the horizon is reached.
        info: anything else, small and JSON-able.
    """

    reward: float = 0.0
    success: bool = False
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)
