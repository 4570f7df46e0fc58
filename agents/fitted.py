"""An agent under another contract of the same robot, see `agents.fit`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from playloop.agents.base import Agent, Plan
from playloop.agents.fit import Fit
from playloop.agents.translation import Grip
from playloop.core.checked import checked
from playloop.core.content import provenance_of
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind
from playloop.core.provenance import name_of


@kind("fitted")
@checked
class FittedConfig:
    """An agent that was made for another contract of the same robot.

    Args:
        policy: settings of the agent that is fitted.
        fit: what differs.
    """

    policy: Any
    fit: Fit = field(default_factory=Fit)

    def make(self) -> FittedAgent:
        """The agent, its checkpoint loaded."""
        return FittedAgent(made(self.policy), self.fit)


def made(policy: Any) -> Agent:
    """The agent of settings, or the agent that is given."""
    agent: Agent = policy.make() if hasattr(policy, "make") else policy
    return agent


@dataclass(frozen=True)
class Carry:
    """The inner agent's own memory, and the gripper's."""

    inner: Any
    grip: Grip = field(default_factory=Grip)


class FittedAgent:
    """See `agents.base.Agent`."""

    def __init__(self, inner: Agent, fit: Fit, name: str | None = None) -> None:
        self.inner, self.fit, self.rows = inner, fit, inner.rows
        self.name = name or f"{name_of(inner)} fitted"

    @property
    def reads(self) -> frozenset[str]:
        return self.inner.reads

    def prepare(self, contract: Contract) -> None:
        self.inner.prepare(self.fit.target(contract))
        self.contract = contract

    def described(self) -> list[tuple[str, str]]:
        """What is translated, as lines of a label and a sentence."""
        return self.fit.described(self.contract)

    def view(self, observation: dict[str, Any]) -> dict[str, np.ndarray]:
        """The pictures as the inner agent gets them, uint8 [H, W, 3] each."""
        shown = self.fit.observation(observation, self.contract)
        inner = getattr(self.inner, "view", lambda observation: observation["images"])
        return dict(inner(shown))

    def provenance(self) -> dict[str, Any]:
        """The inner agent's own, and the fit where it differs from none."""
        plain, none = asdict(self.fit), asdict(Fit())
        return {**provenance_of(self.inner), "fit": {k: v for k, v in plain.items() if v != none[k]}}

    def begin(self, episode: Episode) -> Carry:
        return Carry(self.inner.begin(episode))

    def act(
        self, carries: list[Carry], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Carry], list[Plan]]:
        shown = [self.fit.observation(observation, self.contract) for observation in observations]
        inner, plans = self.inner.act([carry.inner for carry in carries], shown, rngs)
        after, translated = [], []
        for carry, own, plan in zip(carries, inner, plans, strict=True):
            grip, actions = carry.grip, plan.actions[: self.fit.execute]
            if plan.error is None:
                grip, actions = self.fit.actions(self.contract, grip, actions)
            after.append(Carry(own, grip))
            translated.append(replace(plan, actions=actions))
        return after, translated
