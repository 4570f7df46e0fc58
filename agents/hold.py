"""An agent that keeps still: what a suite gives to nobody."""

from __future__ import annotations

from typing import Any

import numpy as np

from playloop.agents.base import Plan, RowAgent
from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.kinds import kind
from playloop.core.robots import resting_action


@kind("hold")
@checked
class HoldAgentConfig:
    """Settings of `HoldAgent`.

    Args:
        chunk: actions a decision.
        rows: episodes decided for in one call.
    """

    chunk: Count = 8
    rows: Count = 16

    def make(self) -> HoldAgent:
        return HoldAgent(self)


class HoldAgent(RowAgent):
    """No movement, no key, the gripper open or as it is; see `core.robots.resting_action`."""

    def __init__(self, config: HoldAgentConfig):
        self.config, self.rows = config, config.rows

    def prepare(self, contract: Contract) -> None:
        self._plan = Plan(np.tile(resting_action(contract), (self.config.chunk, 1)))

    def decide(self, carry: None, observation: dict[str, Any], rng: np.random.Generator) -> tuple[None, Plan]:
        return None, self._plan
