"""An agent that acts at random: the floor under every success rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.agents.base import Plan, RowAgent
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
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

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"agent.low must be below agent.high, got {self}")

    def make(self) -> RandomAgent:
        return RandomAgent(self)


class RandomAgent(RowAgent):
    """Draws every action uniformly between the bounds."""

    def __init__(self, config: RandomAgentConfig):
        self.config, self.rows = config, config.rows

    def prepare(self, contract: Contract) -> None:
        self._shape = self.config.chunk, len(contract.action_names)

    def decide(self, carry: None, observation: dict[str, Any], rng: np.random.Generator) -> tuple[None, Plan]:
        draw = rng.uniform(self.config.low, self.config.high, self._shape)
        return None, Plan(draw.astype(np.float32))
