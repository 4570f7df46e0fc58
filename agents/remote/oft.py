"""OpenVLA-OFT's `POST /act`: an observation as JSON with json-numpy's arrays, a chunk of actions back.

Source: moojink/openvla-oft, `vla-scripts/deploy.py`. A failure there is a JSON text that begins with "error",
under status 200.
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from playloop.agents.base import ServerFault
from playloop.agents.remote.link import Address, Link, Question, chunk, lost, said, understood
from playloop.core.wire import JSON, MOST_BYTES


class OftLink(Link):
    """See `Link`; the server tells nothing of itself."""

    def __init__(self, address: Address) -> None:
        parts = urlsplit(address.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        if not parts.hostname:
            raise ValueError(f"agent.url={address.url!r} names no host; write http://HOST:PORT")
        self.path = parts.path if parts.path not in ("", "/") else "/act"
        self.headers = {"Content-Type": "application/json"}
        if address.token:
            self.headers["Authorization"] = f"Api-Key {address.token}"
        self.connection = kind(parts.hostname, parts.port, timeout=address.timeout)
        self.connection.connect()
        self.metadata: dict[str, Any] = {}

    def ask(self, questions: Sequence[Question]) -> list[np.ndarray]:
        [question] = questions
        body = JSON.pack(question.flat())
        with lost():
            try:
                self.connection.request("POST", self.path, body, self.headers)
                answer = self.connection.getresponse()
                data = answer.read(MOST_BYTES)
            except http.client.HTTPException as error:
                raise ConnectionError(str(error) or type(error).__name__) from None
        if answer.status != 200:
            raise ServerFault(f"status {answer.status}: {said(data.decode(errors='replace'))}")
        found = understood(JSON, data)
        if isinstance(found, str):
            raise ServerFault(said(found))
        return [chunk(found.get("actions", found.get("action")) if isinstance(found, dict) else found)]

    def close(self) -> None:
        self.connection.close()
