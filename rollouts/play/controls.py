"""Who acts: the person, or the agent that was given the controls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from playloop.agents.base import Agent
from playloop.agents.person import Person
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.envs.checks import checked_plan
from playloop.rollouts.play.environments import IMAGES


class Controls:
    """One action at a time, from the person's hands or from what is left of the agent's plan.

    Args:
        person: acts first.
        agent: may be given the controls; None if there is no one.
    """

    def __init__(self, person: Person, agent: Agent | None):
        self.person, self.agent = person, agent
        self.by = "person"
        self._carry: Any = None
        self._plan: deque[np.ndarray] = deque()

    def prepare(self, contract: Contract) -> None:
        """Check that both can act under these conventions."""
        self._size = len(contract.action_names)
        for one in self.all:
            one.prepare(contract)

    @property
    def all(self) -> list[Agent]:
        """Everyone who may act."""
        return [self.person, *([self.agent] if self.agent is not None else [])]

    @property
    def reads(self) -> frozenset[str]:
        """What the next observation must hold."""
        return IMAGES | self.agent.reads if self.agent and self.by == "agent" else IMAGES

    def warm_up(self, episode: Episode, look: Callable[[frozenset[str]], dict[str, Any]]) -> None:
        """Let the agent decide once in an episode that has begun; `look` gives what it reads.

        The first decision that is waited for is then as fast as the rest.
        """
        if self.agent is not None:
            carry, rng = self.agent.begin(episode), episode.rng("decision", 0)
            self.agent.act([carry], [look(IMAGES | self.agent.reads)], [rng])

    def begin(self, episode: Episode) -> None:
        """A new episode; whoever has the controls keeps them."""
        self._episode, self._decisions = episode, 0
        self._hands = self.person.begin(episode)
        self._take_over()

    def hand(self, to: str) -> None:
        """Give the controls to "person", or to "agent" if there is one."""
        self.by = to
        self._take_over()

    def act(self, observation: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """The next action, float32 [A], and what is to be noted about it.

        `expert` is 1 for a person's actions and 0 for an agent's that does not say otherwise: a recording of
        interruptions then holds corrections, and only those are imitated.

        Raises:
            BadAction: what the agent gave is no plan.
        """
        if self.by == "person" or self.agent is None:
            [self._hands], [plan] = self.person.act([self._hands], [observation], [self._rng()])
            return plan.actions[0], plan.info
        if not self._plan:
            [self._carry], [plan] = self.agent.act([self._carry], [observation], [self._rng()])
            self._plan = deque(checked_plan(plan.actions, self._size))
            self._info = {"expert": 0, **plan.info}
        action = self._plan.popleft()
        self._hands = self.person.resume(self._hands, action)
        return action, self._info

    def _take_over(self) -> None:
        self._plan.clear()
        if self.agent is not None and self.by == "agent":
            self._carry = self.agent.begin(self._episode)

    def _rng(self) -> np.random.Generator:
        self._decisions += 1
        return self._episode.rng("decision", self._decisions - 1)
