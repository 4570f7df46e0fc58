"""openpi's websocket: the server tells of itself, then every observation gets a chunk of actions.

Source: openpi, `packages/openpi-client` 0.1.2 and `src/openpi/serving/websocket_policy_server.py`. A failure
is a text frame with a traceback, behind which the server hangs up with code 1011.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from playloop.agents.base import ServerFault
from playloop.agents.remote.link import Address, Link, Question, Socket, chunk, said
from playloop.core.wire import OPENPI


class OpenPiLink(Link):
    """See `Link`. A server of ours is told the episode, and decides as it would in this process."""

    def __init__(self, address: Address) -> None:
        self.socket = Socket(address, OPENPI)
        found = self.socket.receive(min(address.timeout, 10.0))
        if not isinstance(found, dict):
            raise ServerFault(f"{address.url} does not tell of itself as openpi's server does")
        self.metadata: dict[str, Any] = found
        self.ours = self.sticky = "playloop" in found  # ours remembers an episode by its connection

    def ask(self, questions: Sequence[Question]) -> list[np.ndarray]:
        [question] = questions
        extra = {"playloop": dict(question.identity)} if self.ours else {}
        if question.privileged is not None:
            extra["privileged"] = question.privileged
        self.socket.send({**question.flat(), **extra})
        answer = self.socket.receive()
        if isinstance(answer, str):
            raise ServerFault(said(answer))
        if not isinstance(answer, dict) or "actions" not in answer:
            raise ServerFault("the server's answer has no 'actions'")
        return [chunk(answer["actions"])]

    def close(self) -> None:
        self.socket.close()
