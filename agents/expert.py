"""The scripted expert of whatever environment is chosen: `agent=expert`.

Experts read the true state, so they record demonstrations and are no contestants.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from playloop.agents.base import Plan
from playloop.agents.craft.expert import CraftExpertConfig
from playloop.agents.google_robot import GoogleRobotExpertConfig
from playloop.agents.panda import PandaExpertConfig
from playloop.agents.scripted import ScriptedExpert
from playloop.agents.toy import ToyExpertConfig
from playloop.agents.widowx import WidowXExpertConfig
from playloop.core.annotations import Count, Fraction, Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind

EXPERTS: dict[str, type[Any]] = {
    "libero": PandaExpertConfig,
    "simpler_widowx": WidowXExpertConfig,
    "simpler_google_robot": GoogleRobotExpertConfig,
    "craft": CraftExpertConfig,
    "toy": ToyExpertConfig,
}
"""A contract's family → settings of the expert that knows its tasks."""


@kind("expert")
@checked
class ExpertConfig:
    """The environment's own expert. What is null is as that expert has it; not every one has every setting.

    Args:
        hover: metres above an object from which the hand descends.
        gain: how much of the remaining way one action commands.
        reach: longest step that is commanded, metres.
        turn: widest turn that is commanded, radians.
        chunk: most actions a decision.
        disturbance: chance per decision that a few random actions are injected, marked as not to be imitated.
        misses: chance that the first grasp closes beside the object, marked likewise.
    """

    hover: Magnitude | None = None
    gain: Positive | None = None
    reach: Positive | None = None
    turn: Positive | None = None
    chunk: Count | None = None
    disturbance: Fraction | None = None
    misses: Fraction | None = None

    def make(self) -> Expert:
        """The agent; whose expert it is, it learns from the environment's contract."""
        return Expert(self)


def expert_of(contract: Contract, config: ExpertConfig) -> ScriptedExpert:
    """The expert of an environment, prepared for it.

    Raises:
        ValueError: its tasks have no expert, or the expert does not have these settings.
    """
    if (own := EXPERTS.get(contract.family)) is None:
        names = dict.fromkeys(f"env={family.partition('_')[0]}" for family in EXPERTS)  # simpler: two robots
        raise ValueError(
            f"there is no expert for {contract.family}, only for {', '.join(names)}; "
            "choose another agent, for instance agent=policy or agent=random"
        )
    settings = {name: value for name, value in vars(config).items() if value is not None}
    known = [field.name for field in fields(own)]
    if strange := [name for name in settings if name not in known]:
        has = ", ".join(known) or "no settings"
        raise ValueError(f"agent.{strange[0]}: the expert of {contract.family} has {has}; leave it out")
    expert: ScriptedExpert = own(**settings).make()
    expert.prepare(contract)
    return expert


class Expert(ScriptedExpert):
    """See `agents.base.Agent`; `prepare` comes first."""

    own: ScriptedExpert

    def prepare(self, contract: Contract) -> None:
        self.own = expert_of(contract, self.config)

    def begin(self, episode: Episode) -> Any:
        return self.own.begin(episode)

    def decide(self, carry: Any, observation: dict[str, Any], rng: np.random.Generator) -> tuple[Any, Plan]:
        return self.own.decide(carry, observation, rng)

    def provenance(self) -> dict[str, Any]:
        """Which expert it is."""
        return {"expert": type(self.own).__name__}
