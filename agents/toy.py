"""The expert of the toy environment: goes straight to its square."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from playloop.agents.base import Plan, RowAgent
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.envs.toy import SPEED


@kind("toy-expert")
@checked
class ToyExpertConfig:
    """Settings of `ToyExpert`: there are none."""

    def make(self) -> ToyExpert:
        """The agent."""
        return ToyExpert()


class ToyExpert(RowAgent):
    """See `agents.base.Agent`."""

    reads: ClassVar[frozenset[str]] = frozenset({"privileged"})
    rows = 64

    def prepare(self, contract: Contract) -> None:
        if contract.family != "toy":
            raise ValueError(f"this expert knows the toy's squares, not {contract.family}; use agent=expert")

    def begin(self, episode: Episode) -> None:
        return None

    def decide(self, carry: None, observation: dict[str, Any], rng: np.random.Generator) -> tuple[None, Plan]:
        away = (observation["privileged"]["target"] - observation["state"]) / SPEED
        return None, Plan(np.clip(away, -1.0, 1.0)[None].astype(np.float32), {"expert": 1})
