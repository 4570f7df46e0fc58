"""OpenVLA-OFT's `POST /act`: an observation as JSON with json-numpy's arrays, a chunk of actions back.

Source: moojink/openvla-oft, `vla-scripts/deploy.py`. A failure there is a JSON text that begins with "error",
under status 200.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from playloop.agents.base import ConnectionLost, ServerFault
from playloop.agents.remote.link import Address, Link, Question, chunk, lost, said, understood
from playloop.core.wire import JSON, MOST_BYTES, BadFrame

IDLE = 2.0
"""Seconds after which a server may have hung up on a connection that nobody used."""
LEAVING = 503


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
        self.metadata = self._facts()
        self.used = time.monotonic()

    def ask(self, questions: Sequence[Question]) -> list[np.ndarray]:
        [question] = questions
        extra = {"playloop": dict(question.identity)} if "playloop" in self.metadata else {}
        body = JSON.pack({**question.flat(), **extra})
        with lost():
            if time.monotonic() - self.used > IDLE:
                self.connection.close()  # the next request opens it again
            try:
                self.connection.request("POST", self.path, body, self.headers)
                answer = self.connection.getresponse()
                data = answer.read(MOST_BYTES)
            except http.client.HTTPException as error:
                raise ConnectionError(str(error) or type(error).__name__) from None
        self.used = time.monotonic()
        if answer.status == LEAVING:
            raise ConnectionLost(said(data.decode(errors="replace")))
        if answer.status != 200:
            raise ServerFault(f"status {answer.status}: {said(data.decode(errors='replace'))}")
        found = understood(JSON, data)
        if isinstance(found, str):
            raise ServerFault(said(found))
        return [chunk(found.get("actions", found.get("action")) if isinstance(found, dict) else found)]

    def _facts(self) -> dict[str, Any]:
        """What a server of ours says of itself; others know no such path."""
        self.connection.request("GET", "/config", headers=self.headers)
        answer = self.connection.getresponse()
        data = answer.read(MOST_BYTES)
        if answer.status != 200:
            return {}
        try:
            found = JSON.unpack(data)
        except BadFrame:
            return {}
        return {"playloop": found["playloop"]} if isinstance(found, dict) and "playloop" in found else {}

    def close(self) -> None:
        self.connection.close()
