"""What every protocol asks of: one agent under one contract, and who sits at it."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from playloop.agents.base import Agent
from playloop.agents.fit import Resize
from playloop.core.contract import Contract
from playloop.core.episode import FRESH, Episode
from playloop.core.provenance import name_of, versions
from playloop.core.wire import BadFrame
from playloop.rollouts.worker import RAISED, error_text
from playloop.serving.batcher import AgentFailed, Batcher, Busy, Row
from playloop.serving.keys import is_text, read_observation, words
from playloop.serving.metrics import Metrics

UNKNOWN = Episode("served", 0, FRESH)
"""The episode of a client that does not say which it is in."""
IDENTITY = "playloop"
"""Key of a request under which an episode's identity comes."""
TRUSTED = 2**53
"""Whole numbers beyond it are none that JSON keeps."""


class Draining(Busy):
    """The server is being stopped and takes no more requests."""


@dataclass
class Seat:
    """One client's place: its episode, the memory of the agent in it, and how many decisions it had.

    Args:
        episode: that it is in; None before the first request.
        carry: the agent's memory.
        decisions: made in this episode.
        named: the client has said which episode it is, by `Service.begin`.
    """

    episode: Episode | None = None
    carry: Any = None
    decisions: int = 0
    named: bool = False

    def reset(self) -> None:
        """Another episode begins, of which nothing is known yet."""
        self.episode, self.carry, self.decisions, self.named = None, None, 0, False


@dataclass(frozen=True)
class Answer:
    """Actions float32 [H, A] for a client, and milliseconds of the agent and of the wait before it."""

    actions: np.ndarray
    infer_ms: float
    wait_ms: float
    info: dict[str, Any] = field(default_factory=dict)


class Service:
    """Decides for whoever asks.

    Args:
        agent: who acts, already prepared for the contract.
        contract: that it acts under.
        batcher: that calls it.
        resize: what happens to pictures of another size; None: they are refused.
    """

    def __init__(self, agent: Agent, contract: Contract, batcher: Batcher, resize: Resize | None = None):
        self.agent, self.contract, self.batcher, self.resize = agent, contract, batcher, resize
        self.metrics, self.draining, self.busy = Metrics(), False, 0
        self.name, self.reads = name_of(agent), frozenset(agent.reads)
        policy = getattr(agent, "policy", None)
        self.chunk: int | None = getattr(policy, "chunk", None)
        self.execute: int | None = getattr(policy, "execute", self.chunk)
        self.memory = policy is None or getattr(agent, "ensemble", 0) is not None or _remembers(policy)

    def metadata(self) -> dict[str, Any]:
        """What clients are told first."""
        facts = {
            "version": versions()["playloop"],
            "name": self.name,
            "contract": self.contract.to_json(),
            "chunk": self.chunk,
            "execute": self.execute,
            "reads": sorted(self.reads),
            "seeded": True,
            "memory": self.memory,
            "keys": words(self.contract),
            "resize": self.resize,
        }
        return {"playloop": facts}

    def begin(self, seat: Seat, named: Any = None) -> None:
        """An episode begins, which `named` may identify: a map with `episode`, as in a request.

        Raises:
            BadFrame: it names no episode.
        """
        seat.reset()
        if named is not None:
            seat.episode, _ = _identity(named)
            seat.carry, seat.named = self._carry(seat.episode), True

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Around a request and its answer: a server that is being stopped waits for it."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    async def decide(self, seat: Seat, message: Any, protocol: str) -> Answer:
        """The agent's plan for what a client sees.

        Raises:
            BadFrame: the message is no observation under the contract.
            Busy: too many wait, or the server ends.
            AgentFailed: the agent raised.
        """
        start = time.perf_counter()
        if self.draining:
            raise Draining("the server is being stopped; ask another")
        try:
            observation = read_observation(message, self.contract, self.reads, self.resize)
            rng = self._generator(seat, message, observation)
            found = await self.batcher.decide(Row(seat.carry, observation, rng))
        except (BadFrame, Busy, AgentFailed) as error:
            self.metrics.refused(WHY[type(error)])
            raise
        seat.carry, seat.decisions = found.carry, seat.decisions + 1
        self.metrics.answered(protocol, time.perf_counter() - start, found.rows)
        return Answer(found.plan.actions, 1000 * found.seconds, 1000 * found.waited, found.plan.info)

    def _generator(
        self, seat: Seat, message: Mapping[str, Any], observation: Mapping[str, Any]
    ) -> np.random.Generator:
        """The randomness of a request; the seat is moved to the episode that the request names.

        With an identity it is the driver's of that decision, without one it follows from what was sent.
        """
        if message.get(IDENTITY) is not None:
            episode, number = _identity(message[IDENTITY])
            if seat.episode != episode or number == 0:
                if self.memory and number:
                    raise BadFrame(
                        "nothing is known of this episode before its decision; begin it anew, with decision 0"
                    )
                seat.reset()
                seat.episode, seat.carry = episode, self._carry(episode)
            return episode.rng("decision", seat.decisions if number is None else number)
        if seat.episode is None:
            seat.episode, seat.carry = UNKNOWN, self._carry(UNKNOWN)
        if seat.named:
            return seat.episode.rng("decision", seat.decisions)
        return np.random.default_rng(_content(observation))

    def _carry(self, episode: Episode) -> Any:
        try:
            return self.agent.begin(episode)
        except RAISED as error:
            raise AgentFailed(error_text(error)) from error


def _remembers(policy: Any) -> bool:
    """Whether a policy carries anything from one decision to the next."""
    return policy.initial(1)[0] is not None


WHY: dict[type, str] = {BadFrame: "bad", Busy: "busy", Draining: "busy", AgentFailed: "agent"}


def _identity(given: Any) -> tuple[Episode, int | None]:
    """An episode and the number of a decision in it, None if it does not say."""
    record = given.get("episode") if isinstance(given, Mapping) else None
    if not isinstance(record, Mapping):
        raise BadFrame("`playloop` is a map with `episode`: suite, task, init and seed")
    suite, number = record.get("suite"), given.get("decision")
    wanted: list[Any] = [record.get(name) for name in ("task", "init", "seed")]
    if not isinstance(suite, str) or not is_text(suite, 200) or not all(map(_whole, wanted)):
        raise BadFrame("an episode has suite, a text, and task, init and seed, whole numbers")
    if number is not None and not (_whole(number) and number >= 0):
        raise BadFrame("`decision` is a whole number from 0")
    return Episode(suite, *wanted), number


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < TRUSTED


def _content(observation: Mapping[str, Any]) -> int:
    """A number that follows from what was seen."""
    found = hashlib.blake2b(digest_size=16)
    for name, image in sorted(observation.get("images", {}).items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(image).data)
    found.update(np.asarray(observation["state"], np.float32).tobytes())
    found.update(observation["instruction"].encode("utf-8", "replace"))
    return int.from_bytes(found.digest(), "big")
