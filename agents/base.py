"""Who acts: a network, a scripted expert, a person. All decide in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode


class ServerFault(RuntimeError):
    """A server answered with an error, or with what is no answer: this episode cannot be judged."""


class ConnectionLost(ConnectionError):
    """What was agreed with a server about an episode is lost with the connection: it begins anew."""


class ServerGone(ConnectionError):
    """A server cannot be reached any more: the run ends here, and the same command goes on from here."""


@dataclass
class Plan:
    """The next actions of one agent in one episode.

    Args:
        actions: float32 [H, A], executed in order before the agent decides again.
        info: small facts about the decision (rounds, whether the actions are noise, …); arrays or numbers.
        reads: what the next observation must hold, where that is less than the agent's own `reads`.
        error: why there are no actions, where only this row failed and the others' plans hold.
    """

    actions: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)
    reads: frozenset[str] | None = None
    error: Exception | None = None


class Agent(Protocol):
    """Batched and without hidden state: all memory of an episode is in its carry.

    `reads` says what must be in an observation: "images" costs a render, "privileged" adds the ground truth
    under that key. `rows` is how many episodes the agent decides for in one call at the most.

    What decides its actions besides its settings and code (weights, recorded actions, another agent) it
    tells, by hashes, in a method `provenance() -> dict`; where there is none, `core.content` hashes the
    files that its settings name. An exception in `begin` or `act` is an error of that episode, never a
    failure at the task.

    Where several rows decide apart, on a server for instance, one that fails is a plan with an `error`: a
    `ConnectionLost` has its episode begun anew, a `ServerGone` ends the run, anything else is its episode's
    error. Some attributes are optional: `repeatable`, False where the same episode may go otherwise another
    time; `session() -> dict`, numbers about the run so far for its record; `harmless`, names of its settings
    that decide nothing, so that a run may go on with others.

    What results call it, it says in an attribute `name`, a text; without one its kind or its class serves,
    see `core.provenance.name_of`.
    """

    rows: int

    @property
    def reads(self) -> frozenset[str]:
        """What an observation must hold; a plain class attribute will do."""

    def prepare(self, contract: Contract) -> None:
        """Check, before the first step, that this agent can act under the environment's conventions.

        Raises:
            ValueError: with one sentence for each mismatch and what to do.
        """

    def begin(self, episode: Episode) -> Any:
        """The carry at the start of an episode."""

    def act(
        self, carries: list[Any], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Any], list[Plan]]:
        """Decide for up to `rows` episodes.

        A row's plan depends on its own carry, observation and generator only, never on its neighbours. The
        generator is fresh for every decision: seeded by the episode and the number of the decision in it.
        """


class RowAgent(ABC):
    """An `Agent` that decides for every episode by itself, one after the other."""

    reads: frozenset[str] = frozenset()
    rows = 16

    @abstractmethod
    def prepare(self, contract: Contract) -> None:
        """See `Agent.prepare`."""

    def begin(self, episode: Episode) -> Any:
        return None

    @abstractmethod
    def decide(self, carry: Any, observation: dict[str, Any], rng: np.random.Generator) -> tuple[Any, Plan]:
        """What `act` does, for one episode; the carry that is given stays as it is."""

    def act(
        self, carries: list[Any], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Any], list[Plan]]:
        rows = [self.decide(*row) for row in zip(carries, observations, rngs, strict=True)]
        return [carry for carry, _ in rows], [plan for _, plan in rows]
