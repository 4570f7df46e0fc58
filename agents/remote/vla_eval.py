"""vla-eval's protocol, version 1: typed messages, an episode a time, an action an observation.

Source: vla-eval 0.8.0, `protocol/messages.py`, `connection.py` and `model_servers/serve.py`. The server keeps
its chunk by the connection and gives one action of it for every observation; a failure is an `error` message.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from playloop.agents.base import ServerFault
from playloop.agents.remote.link import Address, Link, Question, Socket, chunk, said
from playloop.core.wire import VLA_EVAL

VERSION = 1


class VlaEvalLink(Link):
    """See `Link`; the answer to its `hello` is the metadata."""

    sticky = True

    def __init__(self, address: Address) -> None:
        self.socket, self.sequence, self.within = Socket(address, VLA_EVAL), 0, False
        hello = {"harness_version": f"playloop {version('playloop')}", "protocol_version": VERSION}
        self._send("hello", hello)
        answer = self._receive()
        if answer["type"] != "hello":
            raise ServerFault(f"{address.url} does not greet as a server of vla-eval does")
        self.metadata: dict[str, Any] = answer["payload"]
        if (spoken := self.metadata.get("protocol_version")) != VERSION:
            raise ServerFault(f"{address.url} speaks version {spoken} of vla-eval's protocol, not {VERSION}")

    def begin(self, identity: Mapping[str, Any], instruction: str) -> None:
        self._end()
        episode = identity.get("episode", {})
        task = {
            "name": instruction,
            "suite": episode.get("suite", ""),
            "task_id": episode.get("task", 0),
            "episode_idx": episode.get("init", 0),
            "seed": episode.get("seed", 0),
            "playloop": {"episode": dict(episode)},
        }
        self._send("episode_start", {"task": task})
        self.within = True

    def ask(self, questions: Sequence[Question]) -> list[np.ndarray]:
        [question] = questions
        key, sentence = question.instruction
        images = {name.removeprefix("images/"): picture for name, picture in question.pictures.items()}
        payload: dict[str, Any] = {"images": images, **question.states, key: sentence}
        if question.privileged is not None:
            payload["privileged"] = question.privileged
        sequence = self._send("observation", payload)
        answer = self._receive()
        while answer["seq"] != sequence and answer["type"] != "error":
            answer = self._receive()  # what an earlier question was answered too late
        if answer["type"] == "error":
            raise ServerFault(said(answer["payload"].get("error")))
        return [chunk(answer["payload"].get("actions"))]

    def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._end()
        self.socket.close()

    def _end(self) -> None:
        if self.within:
            self._send("episode_end", {})
        self.within = False

    def _send(self, kind: str, payload: Mapping[str, Any]) -> int:
        self.sequence += 1
        message = {"type": kind, "payload": dict(payload), "seq": self.sequence, "timestamp": time.time()}
        self.socket.send(message)
        return self.sequence

    def _receive(self) -> dict[str, Any]:
        found = self.socket.receive()
        if not isinstance(found, dict) or not isinstance(found.get("payload"), dict) or "type" not in found:
            raise ServerFault("the server's answer is no message of vla-eval's protocol")
        return {"seq": 0, **found}
