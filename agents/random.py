"""An agent that acts at random: the floor under every success rate."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from playloop.agents.base import Plan
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind


@kind("random")
@checked
class RandomAgentConfig:
    """Settings of `RandomAgent`.

    Args:
        low: lower bound of every action dimension.
        high: upper bound of every action dimension.
        chunk: actions a decision.
        rows: episodes decided for in one call.
    """

    low: float = -1.0
    high: float = 1.0
    chunk: Count = 8
    rows: Count = 16

    def make(self) -> RandomAgent:
        """The agent."""
        return RandomAgent(self)


class RandomAgent:
    """Draws every action uniformly between the bounds."""

    reads: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: RandomAgentConfig):
        if not config.low < config.high:
            raise ValueError(f"agent.low must be below agent.high, got {config}")
        self.config = config
        self.rows = config.rows
        self._size = 0

    def prepare(self, contract: Contract) -> None:
        self._size = len(contract.action_names)

    def begin(self, episode: Episode) -> None:
        return None

    def act(
        self, carries: list[Any], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Any], list[Plan]]:
        shape = (self.config.chunk, self._size)
        draws = [rng.uniform(self.config.low, self.config.high, shape) for rng in rngs]
        return carries, [Plan(draw.astype(np.float32)) for draw in draws]
