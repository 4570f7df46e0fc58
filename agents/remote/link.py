"""What the protocols share: a question, a connection that answers it, and what goes wrong on the way."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from playloop.agents.base import ConnectionLost, ServerFault
from playloop.core.wire import MOST_BYTES, BadFrame, Form

LOST = (ConnectionClosed, InvalidHandshake, OSError, EOFError)
"""What tells that a connection is not there, or not any more; a time-out is an OSError."""


@dataclass(frozen=True)
class Address:
    """Where a server is, and how long it is waited for.

    Args:
        url: of the server.
        timeout: seconds that an answer may take.
        token: that the server wants; sent as `Authorization: Api-Key …`, in GR00T's messages as `api_token`.
    """

    url: str
    timeout: float = 60.0
    token: str | None = None


@dataclass(frozen=True)
class Question:
    """One observation as a server wants it.

    Args:
        pictures: wire key → uint8 [H, W, 3].
        states: wire key → float32 [N].
        instruction: wire key of the sentence, and the sentence.
        identity: whose decision it is and which, {"episode": …, "decision": n}; for servers that know of it.
        privileged: the environment's ground truth, for servers whose agent reads it.
    """

    pictures: Mapping[str, np.ndarray]
    states: Mapping[str, np.ndarray]
    instruction: tuple[str, str]
    identity: Mapping[str, Any] = field(default_factory=dict)
    privileged: Any = None

    def flat(self) -> dict[str, Any]:
        """Everything by its wire key."""
        key, said = self.instruction
        return {**self.pictures, **self.states, **({key: said} if key else {})}


class Link(ABC):
    """One connection to a server that decides.

    `metadata` is what the server told of itself. `sticky`: it remembers an episode by the connection, which
    therefore serves that episode alone. `batched`: one message asks for several episodes.

    Whatever is asked raises `ConnectionLost` where the connection is gone or silent, and `ServerFault` where
    the server answers that it failed, or with what is no answer.
    """

    sticky: bool = False
    batched: ClassVar[bool] = False
    metadata: dict[str, Any]
    groups: tuple[str, ...] = ()
    """Wire keys of an action's parts, where the protocol has parts; none: as the server's map has them."""

    @abstractmethod
    def __init__(self, address: Address) -> None:
        """Connect.

        Raises:
            OSError: nobody answers.
            ServerFault: somebody does, in another protocol.
        """

    def begin(self, identity: Mapping[str, Any], instruction: str) -> None:  # noqa: B027 (most have no words for it)
        """Tell that an episode begins, where the protocol has words for it."""

    @abstractmethod
    def ask(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """Actions float32 [H, A] for each; several questions only of a link that is `batched`."""

    @abstractmethod
    def close(self) -> None:
        """Hang up."""


class Socket:
    """A websocket that speaks one form of messages."""

    def __init__(self, address: Address, form: Form) -> None:
        self.form, self.timeout = form, address.timeout
        headers = {"Authorization": f"Api-Key {address.token}"} if address.token else None
        self.held = ExitStack()
        try:
            connection = connect(
                address.url,
                compression=None,
                max_size=MOST_BYTES,
                ping_interval=None,  # a server that computes does not answer pings, and is not dead
                open_timeout=min(address.timeout, 10.0),
                close_timeout=1.0,
                additional_headers=headers,
            )
            self.socket: ClientConnection = self.held.enter_context(connection)
        except InvalidURI as error:
            raise ValueError(f"agent.url={address.url!r} is no address of a websocket ({error})") from None
        except (InvalidHandshake, EOFError) as error:
            raise ServerFault(f"{address.url} speaks no websocket, or refuses us ({error})") from None

    def send(self, message: Any) -> None:
        with lost():
            self.socket.send(self.form.pack(message))

    def receive(self, timeout: float | None = None) -> Any:
        """The next message: a map, or a text as the server sent it."""
        with lost():
            found = self.socket.recv(self.timeout if timeout is None else timeout)
        return found if isinstance(found, str) else understood(self.form, found)

    def close(self) -> None:
        self.held.close()


def understood(form: Form, data: bytes) -> Any:
    """A message, or the sentence that it is none."""
    try:
        return form.unpack(data)
    except BadFrame as error:
        raise ServerFault(f"the server's answer is no message of {form.name} ({error})") from None


@contextmanager
def lost() -> Iterator[None]:
    """A connection that is gone or silent, as `ConnectionLost`."""
    start = time.monotonic()
    try:
        yield
    except TimeoutError:
        waited = time.monotonic() - start
        raise ConnectionLost(f"the server did not answer for {waited:.0f} s") from None
    except LOST as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConnectionLost(f"the connection to the server was lost ({said})") from None


def chunk(found: Any) -> np.ndarray:
    """A server's actions as float32 [H, A]; a single one [A] is a chunk of one.

    Raises:
        ServerFault: they are none.
    """
    try:
        actions = np.asarray(found, np.float32)
    except (TypeError, ValueError) as error:
        raise ServerFault(f"the server's actions are no numbers ({error})") from None
    if actions.ndim == 1:
        actions = actions[None]
    if actions.ndim != 2 or not actions.size:
        raise ServerFault(
            f"the server's actions have the shape {list(actions.shape)}, not steps and dimensions"
        )
    return actions


def said(error: Any) -> str:
    """A server's account of its failure in one line: of a traceback the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:300]
