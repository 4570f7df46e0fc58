"""A policy that decides elsewhere: in another process, another environment, on another machine."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np

from playloop.agents.base import ConnectionLost, Plan, ServerFault, ServerGone
from playloop.agents.fit import Fit, View
from playloop.agents.fitted import FittedAgent
from playloop.agents.remote.link import Address, Link, Question
from playloop.agents.remote.presets import PRESETS, Preset, preset_for
from playloop.agents.remote.protocols import PROTOCOLS, find_protocol
from playloop.core.annotations import Count, Magnitude, Name, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind

STATELESS = ("oft", "groot", "groot-flat")
"""Protocols that tell neither of an episode's beginning nor the ground truth."""
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between tries to connect; the last goes on."""


@kind("remote")
@checked
class RemoteAgentConfig:
    """A server that decides, and what it wants to be shown.

    Args:
        url: ws:// or wss:// for openpi, vla-eval and RoboArena, http:// or https:// for OFT's `/act`, tcp://
            for GR00T.
        protocol: that it speaks; auto asks the server.
        preset: what it wants, name in `agents.remote.presets.PRESETS`; auto: what is known of servers of this
            protocol and robot, or what the server says itself. None: only what follows here.
        pictures: wire key → what the picture is made of; instead of the preset's.
        states: wire key → names, see `Fit.state`; instead of the preset's.
        instruction: wire key of the sentence; instead of the preset's.
        fit: fields of `Fit` that differ from the preset's.
        connections: questions that are under way at once, each on a connection of its own.
        timeout: seconds that an answer may take; then the connection counts as lost, and its episode begins
            anew.
        patience: seconds for which a server that cannot be reached is waited for, before the run ends.
        token: name of the environment variable that holds the server's token; records keep the name alone.
    """

    url: Name
    protocol: Literal["auto", "openpi", "vla-eval", "oft", "groot", "groot-flat", "roboarena"] = "auto"
    preset: str | None = "auto"
    pictures: dict[str, View] = field(default_factory=dict)
    states: dict[str, tuple[Name, ...]] = field(default_factory=dict)
    instruction: str | None = None
    fit: dict[str, Any] = field(default_factory=dict)
    connections: Count = 8
    timeout: Positive = 60.0
    patience: Magnitude = 60.0
    token: str | None = None

    def __post_init__(self) -> None:
        if self.preset not in (None, "auto", *PRESETS):
            raise ValueError(f"agent.preset={self.preset!r}: use auto or one of {', '.join(PRESETS)}")
        Fit(**self.fit)  # says what is none
        try:
            _ = urlsplit(self.url).port
        except ValueError as error:
            raise ValueError(f"agent.url={self.url!r}: {error}; write SCHEME://HOST:PORT") from None
        if self.token is not None and not os.environ.get(self.token):
            raise ValueError(
                "agent.token names no environment variable with a value; set one and give its name"
            )

    def make(self) -> RemoteAgent:
        """The agent, connected.

        Raises:
            ValueError: nobody answers there, or in no protocol that is known.
        """
        return RemoteAgent(self)


class Links:
    """Connections to one server: idle ones are used again."""

    def __init__(self, config: RemoteAgentConfig) -> None:
        self.address = Address(config.url, config.timeout, os.environ.get(config.token or ""))
        self.patience = config.patience
        self.groups: tuple[str, ...] = ()
        self.idle: queue.LifoQueue[Link] = queue.LifoQueue()
        self.lost = 0
        self.protocol: str = config.protocol
        try:
            first = self._patiently(self._first, ValueError)
        except ServerFault as error:  # of no episode yet
            raise ValueError(str(error)) from None
        self.metadata = first.metadata
        self.idle.put(first)

    @property
    def kind(self) -> type[Link]:
        """The protocol's link."""
        return PROTOCOLS[self.protocol]

    def take(self) -> Link:
        """A connection for one question, or for one episode."""
        try:
            link = self.idle.get_nowait()
        except queue.Empty:
            link = self._patiently(lambda: self.kind(self.address), ServerGone)
        link.groups = self.groups
        return link

    def _first(self) -> Link:
        """The first connection; whoever answers says which protocol it speaks."""
        if self.protocol == "auto":
            self.protocol = find_protocol(self.address)
        return self.kind(self.address)

    def _patiently(self, connect: Callable[[], Link], gone: type[Exception]) -> Link:
        end, tries = time.monotonic() + self.patience, 0
        while True:
            try:
                return connect()
            except (OSError, ConnectionLost) as error:
                if time.monotonic() >= end:
                    reason = " ".join(str(error).split())[:160] or type(error).__name__
                    raise gone(
                        f"no server answers at {self.address.url} ({reason}); start it, or correct "
                        "agent.url. What is done so far is kept"
                    ) from None
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1


class Seat:
    """A connection that serves one question, or one episode until nobody remembers the episode."""

    def __init__(self, links: Links) -> None:
        self.links, self.link = links, links.take()
        self.leave = weakref.finalize(self, links.idle.put, self.link)

    def lose(self, error: Exception) -> None:
        """Hang up: whatever went wrong, what comes next on this connection may belong to it."""
        if self.leave.detach():
            self.links.lost += isinstance(error, ConnectionLost)
            with contextlib.suppress(Exception):
                self.link.close()


@dataclass(frozen=True)
class Turn:
    """Where an episode stands.

    Args:
        episode: its identity.
        decisions: that have been made.
        seat: its connection, where the protocol knows episodes by it.
    """

    episode: Episode
    decisions: int = 0
    seat: Any = None


class Asker:
    """See `agents.base.Agent`: asks a server, for several episodes at once."""

    def __init__(self, config: RemoteAgentConfig) -> None:
        self.links = Links(config)
        self.rows = config.connections
        self.name = f"{self.links.protocol} {config.url}"
        self.preset = Preset()
        self.latencies: list[float] = []
        self.threads = ThreadPoolExecutor(config.connections, "remote")
        self.ours = facts_of(self.links.metadata)
        self.reads = frozenset(self.ours.get("reads", ["images"]))
        self.width = 0

    def prepare(self, contract: Contract) -> None:
        """A server of ours says for which contract its policy was made; of others only the fit is known."""
        self.width = len(contract.action_names)
        if not self.ours:
            return
        if self.links.protocol in STATELESS and (self.ours.get("memory") or "privileged" in self.reads):
            raise ValueError(
                f"the server's agent needs more than {self.links.protocol} tells it; ask it by ws://"
            )
        mine = Contract.from_json(self.ours["contract"], "the server's contract")
        renamed = {f"images/{name}": size for name, size in mine.cameras.items()}
        if differences := replace(mine, cameras=renamed).differences(contract):
            raise ValueError(
                "the server's policy cannot act in this environment; serve another checkpoint, or give "
                "agent.fit:\n  " + "\n  ".join(differences)
            )

    def provenance(self) -> dict[str, Any]:
        """What the server says of itself, and how it was asked."""
        return {"protocol": self.links.protocol, "server": plain(self.links.metadata)}

    def begin(self, episode: Episode) -> Turn:
        return Turn(episode)

    def act(
        self, carries: list[Turn], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Turn], list[Plan]]:
        questions = [self._question(*row) for row in zip(carries, observations, strict=True)]
        if self.links.kind.batched:
            plans = self._together(questions)
            return [replace(turn, decisions=turn.decisions + 1) for turn in carries], plans
        asked = list(self.threads.map(self._alone, carries, questions))
        return [turn for turn, _ in asked], [plan for _, plan in asked]

    def _question(self, turn: Turn, observation: dict[str, Any]) -> Question:
        sizes = np.cumsum([len(names) for names in self.preset.states.values()])
        parts = np.split(np.asarray(observation["state"], np.float32), sizes[:-1]) if len(sizes) else []
        return Question(
            observation.get("images", {}),
            dict(zip(self.preset.states, parts, strict=True)),
            (self.preset.instruction, observation["instruction"]),
            {"episode": turn.episode.to_json(), "decision": turn.decisions},
            observation.get("privileged"),
        )

    def _alone(self, turn: Turn, question: Question) -> tuple[Turn, Plan]:
        """One episode's question on a connection of its own."""
        seat: Seat | None = turn.seat
        try:
            seat = seat or Seat(self.links)
            if turn.decisions == 0:
                seat.link.begin(question.identity, question.instruction[1])
            [plan] = self._ask(seat.link, [question])
        except Exception as error:
            if seat is not None:
                seat.lose(error)
            return replace(turn, decisions=turn.decisions + 1, seat=None), failed(error)
        if not seat.link.sticky:
            seat.leave()
        return replace(turn, decisions=turn.decisions + 1, seat=seat if seat.link.sticky else None), plan

    def _together(self, questions: Sequence[Question]) -> list[Plan]:
        """All questions in one message."""
        seat: Seat | None = None
        try:
            seat = Seat(self.links)
            plans = self._ask(seat.link, questions)
        except Exception as error:
            if seat is not None:
                seat.lose(error)
            return [failed(error) for _ in questions]
        seat.leave()
        return plans

    def _ask(self, link: Link, questions: Sequence[Question]) -> list[Plan]:
        start = time.perf_counter()
        answers = link.ask(questions)
        milliseconds = 1000 * (time.perf_counter() - start)
        self.latencies.append(milliseconds)
        for answer in answers:
            if answer.shape[1] != self.width or not np.isfinite(answer).all():
                raise ServerFault(
                    f"the server's actions are {answer.shape[1]} numbers each, not all finite or not "
                    f"{self.width} as the robot takes"
                )
        return [Plan(answer, {"ms": milliseconds}) for answer in answers]


class RemoteAgent(FittedAgent):
    """See `agents.base.Agent`: a server decides, through the fit that it wants."""

    inner: Asker
    harmless = ("url", "connections", "timeout", "patience", "token")

    def __init__(self, config: RemoteAgentConfig) -> None:
        self.config = config
        asker = Asker(config)
        super().__init__(asker, Fit(), asker.name)

    @property
    def repeatable(self) -> bool:
        """Whether the server says that its randomness is the episode's, as ours does."""
        return bool(self.inner.ours.get("seeded", False))

    def prepare(self, contract: Contract) -> None:
        preset = self._preset(contract)
        names = tuple(name for names in preset.states.values() for name in names)
        self.inner.preset, self.inner.links.groups = preset, preset.groups
        self.fit = replace(preset.fit, cameras=dict(preset.pictures), state=names)
        super().prepare(contract)

    def described(self) -> list[tuple[str, str]]:
        facts = [("server", self.name)]
        if not self.repeatable:
            facts.append(("repeatable", "no: the server's randomness is not the episode's"))
        return facts + super().described()

    def session(self) -> dict[str, Any]:
        """Requests so far, their milliseconds, and how often a connection was lost."""
        found = np.array(self.inner.latencies)
        p50, p99 = np.percentile(found, [50, 99]) if len(found) else (0.0, 0.0)
        return {
            "requests": len(found),
            "ms_p50": round(float(p50), 2),
            "ms_p99": round(float(p99), 2),
            "connections_lost": self.inner.links.lost,
        }

    def _preset(self, contract: Contract) -> Preset:
        """What the server wants: the preset, and what the settings say instead."""
        chosen, config = self.config.preset, self.config
        if chosen == "auto":
            links, own = self.inner.links, bool(config.pictures or config.states)
            preset = preset_for(links.protocol, contract, links.metadata, config.fit, own)
        else:
            preset = PRESETS[chosen] if chosen in PRESETS else Preset()
        return replace(
            preset,
            pictures=config.pictures or preset.pictures,
            states=config.states or preset.states,
            instruction=config.instruction or preset.instruction,
            fit=replace(preset.fit, **config.fit),
        )


def failed(error: Exception) -> Plan:
    """No actions, and why."""
    return Plan(np.zeros((0, 0), np.float32), error=error)


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a server says of itself as JSON, shortened, however deep it is nested."""
    return {str(name)[:200]: _plain(value) for name, value in metadata.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    finite = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    return value if finite or value is None else str(value)[:200]


def facts_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a server of ours says of itself; empty for another.

    Raises:
        ValueError: it says so in a form that is not known.
    """
    if "playloop" not in metadata:
        return {}
    facts = metadata["playloop"]
    try:
        Contract.from_json(facts["contract"], "its contract")
        if not isinstance(facts.get("reads", []), list) or not all(map(str, facts.get("reads", []))):
            raise ValueError("what it reads is no list")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the server says what it is in a form that is not known ({error}); start playloop serve of this "
            "version there"
        ) from None
    return dict(facts)
