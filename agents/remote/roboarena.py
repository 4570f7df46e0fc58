"""RoboArena's websocket: openpi's, but that the server says what it wants, and a request says what it is.

Source: robo-arena/roboarena, `roboarena/{policy_server,policy_client}.py`. The server's first message has
exactly the fields of `FIELDS`; its cameras count from 0, where openpi's DROID counts from 1.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from playloop.agents.base import ServerFault
from playloop.agents.remote.link import Address, Link, Question, Socket, chunk, said
from playloop.core.wire import OPENPI

FIELDS = (
    "image_resolution",
    "needs_wrist_camera",
    "n_external_cameras",
    "needs_stereo_camera",
    "needs_session_id",
    "action_space",
)


class RoboArenaLink(Link):
    """See `Link`. It serves one episode, because `reset` speaks of no other."""

    sticky = True

    def __init__(self, address: Address) -> None:
        self.socket = Socket(address, OPENPI)
        found = self.socket.receive(min(address.timeout, 10.0))
        if not isinstance(found, dict) or "action_space" not in found:
            raise ServerFault(f"{address.url} does not say what it wants, as RoboArena's server does")
        self.metadata: dict[str, Any] = found
        self.session = ""

    def begin(self, identity: Mapping[str, Any], instruction: str) -> None:
        self.session = str(uuid.uuid4())
        self.socket.send({"endpoint": "reset", **self._named()})
        self.socket.receive()  # "reset successful", as a text

    def ask(self, questions: Sequence[Question]) -> list[np.ndarray]:
        [question] = questions
        self.socket.send({"endpoint": "infer", **question.flat(), **self._named()})
        answer = self.socket.receive()
        if isinstance(answer, str):
            raise ServerFault(said(answer))
        found = answer.get("actions") if isinstance(answer, dict) else answer
        return [chunk(found)]

    def close(self) -> None:
        self.socket.close()

    def _named(self) -> dict[str, str]:
        return {"session_id": self.session} if self.metadata.get("needs_session_id") else {}
