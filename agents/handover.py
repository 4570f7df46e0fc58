"""A policy that begins an episode and an expert that finishes it: corrections of the policy's own mistakes.

An expert's demonstrations show only states that the expert reaches. Here it answers to the states that a
policy's own small errors lead to, as in DAgger (Ross et al. 2011, arXiv 1011.0686): the policy's steps are
marked (`expert` = 0 in the plan's info), only what the expert does afterwards is imitated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from playloop.agents.base import Agent, Plan, RowAgent
from playloop.agents.expert import ExpertConfig, expert_of
from playloop.agents.policy import PolicyAgentConfig
from playloop.core.annotations import Natural
from playloop.core.checked import checked
from playloop.core.content import provenance_of
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind


@kind("handover")
@checked
class HandoverConfig:
    """Who begins, who finishes, and when they change.

    Args:
        policy: settings of the policy, which begins.
        expert: settings of the environment's own expert, which finishes.
        earliest: decisions that the policy makes at least.
        latest: and at most; the moment is drawn evenly between the two for every episode.
    """

    policy: PolicyAgentConfig
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    earliest: Natural = 3
    latest: Natural = 12

    def make(self) -> Handover:
        """The agent, the policy's checkpoint loaded and verified."""
        return Handover(self.policy.make(), self.expert.given(), self.earliest, self.latest)


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


@runtime_checkable
class TakesOver(Protocol):
    """An expert that can finish what another agent began."""

    reads: frozenset[str]

    def prepare(self, contract: Contract) -> None: ...

    def begin(self, episode: Episode) -> Any: ...

    def watch(self, truth: dict[str, np.ndarray]) -> Any: ...

    def resume(self, truth: dict[str, np.ndarray], before: Any) -> Any: ...

    def decide(
        self, carry: Any, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Any, Plan]: ...


class Handover(RowAgent):
    """See `agents.base.Agent`."""

    reads = frozenset({"images", "privileged"})

    expert: TakesOver

    def __init__(self, policy: Agent, settings: dict[str, Any], earliest: int, latest: int):
        if not 0 <= earliest <= latest:
            raise ValueError(f"agent.earliest={earliest} must be 0 … agent.latest={latest}")
        self.policy, self.settings, self.earliest, self.latest = policy, settings, earliest, latest
        self.rows = policy.rows

    def prepare(self, contract: Contract) -> None:
        self.policy.prepare(contract)
        expert = expert_of(contract, self.settings)
        expert.prepare(contract)
        if not isinstance(expert, TakesOver):
            raise ValueError(
                f"agent=handover: the expert of {contract.family} cannot finish what another began; "
                "use agent=expert"
            )
        self.expert = expert

    def provenance(self) -> dict[str, Any]:
        """What decides the policy's actions; the expert's follow from its settings."""
        return {"policy": provenance_of(self.policy)}

    def begin(self, episode: Episode) -> Shift:
        return Shift(self.policy.begin(episode), self.expert.begin(episode))

    def decide(
        self, carry: Shift, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[Shift, Plan]:
        truth = observation["privileged"]
        if carry.left is None:
            left = int(rng.integers(self.earliest, self.latest + 1))
            carry = replace(carry, left=left, expert=self.expert.watch(truth))
        assert carry.left is not None  # just drawn
        if carry.left > 0:
            (own,), (plan,) = self.policy.act([carry.policy], [observation], [rng])
            after = replace(carry, policy=own, left=carry.left - 1)
            return after, Plan(plan.actions, {"expert": 0})
        if carry.left == 0:
            carry = replace(carry, expert=self.expert.resume(truth, carry.expert), left=-1)
        progress, plan = self.expert.decide(carry.expert, observation, rng)
        return replace(carry, expert=progress), replace(plan, reads=self.expert.reads)
