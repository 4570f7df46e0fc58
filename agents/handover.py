"""A policy that begins an episode and an expert that finishes it: corrections of the policy's own mistakes.

An expert's demonstrations show only states that the expert reaches. Here it answers to the states that a
policy's own small errors lead to, as in DAgger (Ross et al. 2011, arXiv 1011.0686): the policy's steps are
marked (`expert` = 0 in the plan's info), only what the expert does afterwards is imitated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from playloop.agents.acting import as_agent
from playloop.agents.base import Plan, RowAgent
from playloop.agents.expert import ExpertConfig, expert_of
from playloop.agents.scripted import ScriptedExpert
from playloop.core.annotations import Natural
from playloop.core.checked import checked
from playloop.core.content import provenance_of
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.provenance import name_of


@kind("handover")
@checked
class HandoverConfig:
    """Who begins, who finishes, and when they change.

    Args:
        policy: settings of the agent that begins, a policy as a rule.
        expert: settings of the environment's own expert, which finishes.
        earliest: decisions that the policy makes at least.
        latest: and at most; the moment is drawn evenly between the two for every episode.
    """

    policy: Any
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    earliest: Natural = 3
    latest: Natural = 12

    def __post_init__(self) -> None:
        if self.earliest > self.latest:
            raise ValueError(f"agent.earliest={self.earliest} must be 0 … agent.latest={self.latest}")

    def make(self) -> Handover:
        """The agent, the policy's checkpoint loaded and verified."""
        return Handover(self)


@dataclass(frozen=True)
class Shift:
    """What is remembered of an episode.

    Args:
        policy: the policy agent's carry.
        expert: the expert's; from the start it knows how the hand was turned there.
        left: decisions that the policy still makes; None before the first.
    """

    policy: Any
    expert: Any
    left: int | None = None


class Handover(RowAgent):
    """See `agents.base.Agent`."""

    reads = frozenset({"images", "privileged"})
    expert: ScriptedExpert

    def __init__(self, config: HandoverConfig):
        self.config, self.policy = config, as_agent(config.policy)
        self.name, self.rows = f"handover from {name_of(self.policy)}", self.policy.rows

    def prepare(self, contract: Contract) -> None:
        self.policy.prepare(contract)
        self.expert = expert_of(contract, self.config.expert)

    def provenance(self) -> dict[str, Any]:
        """What decides the policy's actions; the expert's follow from its settings."""
        return {"policy": provenance_of(self.policy)}

    def begin(self, episode: Episode) -> Shift:
        return Shift(self.policy.begin(episode), self.expert.begin(episode))

    def decide(
        self, carry: Shift, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Shift, Plan]:
        truth, left = observation["privileged"], carry.left
        if left is None:
            left = int(rng.integers(self.config.earliest, self.config.latest + 1))
            carry = replace(carry, expert=self.expert.watch(carry.expert, truth))
        if left > 0:
            (own,), (plan,) = self.policy.act([carry.policy], [observation], [rng])
            return replace(carry, policy=own, left=left - 1), replace(plan, info={"expert": 0})
        before = self.expert.resume(carry.expert, truth) if left == 0 else carry.expert
        progress, plan = self.expert.decide(before, observation, rng)
        return replace(carry, expert=progress, left=-1), replace(plan, reads=self.expert.reads)
