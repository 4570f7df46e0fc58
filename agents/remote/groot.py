"""GR00T N1.6's ZeroMQ: maps with an `endpoint`, arrays as `.npy` files, a batch of observations a message.

Source: NVIDIA/Isaac-GR00T, `gr00t/policy/{server_client,gr00t_policy}.py`; starVLA's `zmq_policy_server.py`
answers it, too. A server does not say which of two forms it wants: nested, {"video": {view: …}, "state": …},
or flat, "video.view", where it was started with the simulators' wrapper. Pictures are uint8 [B, T, H, W, 3],
states float32 [B, T, D], the sentence a list of B (flat) or of B lists of one (nested); T is 1, no history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zmq

from playloop.agents.base import ConnectionLost, ServerFault
from playloop.agents.remote.link import Address, Link, Question, chunk, said, understood
from playloop.core.wire import GROOT


class GrootLink(Link):
    """See `Link`. A socket that got no answer cannot ask again, so that a time-out ends the link."""

    batched = True
    flat = False

    def __init__(self, address: Address) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.token, self.timeout = address.token, address.timeout
        try:
            self.socket.connect(address.url)
        except zmq.ZMQError as error:
            self.socket.close()
            raise ValueError(f"agent.url={address.url!r} is no address of ZeroMQ ({error})") from None
        try:
            self._call("ping", timeout=min(address.timeout, 5.0))
            found = self._call("get_modality_config")
        except ConnectionLost:
            self.close()
            raise ConnectionRefusedError("nobody answers a ping") from None
        except ServerFault:
            found = {}
        self.metadata: dict[str, Any] = found if isinstance(found, dict) else {}

    def ask(self, questions: Sequence[Question]) -> list[np.ndarray]:
        observation = flat(questions) if self.flat else nested(questions)
        answer = self._call("get_action", {"observation": observation, "options": self._identity(questions)})
        if not isinstance(answer, list) or not answer or not isinstance(answer[0], dict):
            raise ServerFault("the server's answer is no list of a map of actions and one of facts")
        return rows(answer[0], len(questions), self.groups)

    def close(self) -> None:
        self.socket.close()

    def _identity(self, questions: Sequence[Question]) -> dict[str, Any] | None:
        """Whose decisions these are, for a server of ours."""
        ours = "playloop" in self.metadata
        return {"playloop": [dict(question.identity) for question in questions]} if ours else None

    def _call(self, endpoint: str, data: dict[str, Any] | None = None, timeout: float | None = None) -> Any:
        message = {"endpoint": endpoint, **({} if data is None else {"data": data})}
        if self.token:
            message["api_token"] = self.token
        self.socket.send(GROOT.pack(message))
        if not self.socket.poll(int(1000 * (self.timeout if timeout is None else timeout))):
            raise ConnectionLost("the server did not answer in time")
        answer = understood(GROOT, self.socket.recv())
        if isinstance(answer, dict) and "error" in answer:
            raise ServerFault(said(answer["error"]))
        return answer


class FlatGrootLink(GrootLink):
    """The same for a server that was started with the simulators' wrapper."""

    flat = True


def nested(questions: Sequence[Question]) -> dict[str, Any]:
    """Observations as `Gr00tPolicy` wants them."""
    key = questions[0].instruction[0]
    return {
        "video": _stacked([question.pictures for question in questions]),
        "state": _stacked([question.states for question in questions]),
        "language": {key: [[question.instruction[1]] for question in questions]},
    }


def flat(questions: Sequence[Question]) -> dict[str, Any]:
    """Observations as the simulators' wrapper wants them."""
    parts = nested(questions)
    key = questions[0].instruction[0]
    return {
        **{f"video.{name}": value for name, value in parts["video"].items()},
        **{f"state.{name}": value for name, value in parts["state"].items()},
        key: [question.instruction[1] for question in questions],
    }


def rows(actions: dict[str, Any], count: int, names: Sequence[str]) -> list[np.ndarray]:
    """Actions by group [B, T, D] → float32 [T, A] a row, the groups in the order of `names`."""
    found = {name.removeprefix("action."): value for name, value in actions.items()}
    if missing := [name for name in names if name not in found]:
        raise ServerFault(f"the server's actions lack {missing[0]!r}; they have {', '.join(found)}")
    try:
        groups = [np.asarray(found[name], np.float32) for name in names or found]
        groups = [group[..., None] if group.ndim == 2 else group for group in groups]
        whole = np.concatenate(groups, axis=-1)
    except (TypeError, ValueError) as error:
        raise ServerFault(f"the server's actions do not fit together ({error})") from None
    if whole.ndim != 3 or len(whole) != count:
        raise ServerFault(f"the server's actions have the shape {list(whole.shape)} for {count} episodes")
    return [chunk(row) for row in whole]


def _stacked(parts: Sequence[Any]) -> dict[str, np.ndarray]:
    """Maps of one row each → arrays [B, 1, …]."""
    return {name: np.stack([part[name] for part in parts])[:, None] for name in parts[0]}
