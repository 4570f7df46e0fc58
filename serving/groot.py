"""GR00T N1.6's ZeroMQ protocol, see `agents.remote.groot`: for many clients at once, and without `kill`.

A ROUTER socket answers whoever is ready, so that a slow client keeps nobody waiting. LIBERO's gripper is told
as GR00T's policies do, 0 shut to 1 open, unless the request's options hold identities under `playloop`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import zmq
import zmq.asyncio

from playloop.agents.remote.presets import GROUPS
from playloop.core.wire import GROOT, BadFrame
from playloop.serving.batcher import AgentFailed, Busy
from playloop.serving.link import SMALL, pause
from playloop.serving.oft import opening
from playloop.serving.service import Seat, Service

MOST_ROWS, MOST_SEATS, MOST_UNDER_WAY = 64, 1024, 256


class GrootServer:
    """One address.

    Args:
        service: that decides.
        fits: whether a token is the one that is wanted.
        host: to bind.
        port: to bind; 0 takes a free one, see `port`.
        message_bytes: most of one message.

    Raises:
        OSError: the address is taken or not ours; says what to do.
    """

    def __init__(
        self, service: Service, fits: Callable[[object], bool], host: str, port: int, message_bytes: int
    ) -> None:
        self.service, self.fits = service, fits
        self.socket = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.setsockopt(zmq.MAXMSGSIZE, message_bytes)
        self.socket.setsockopt(zmq.IPV6, int(":" in host))
        try:
            self.socket.bind(f"tcp://{f'[{host}]' if ':' in host else host}:{port or '*'}")
        except zmq.ZMQError as error:
            self.socket.close()
            raise OSError(f"zmq_port={port} cannot be used ({error.strerror}); choose another.") from None
        self.port = int(self.socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        self.seats: OrderedDict[Any, Seat] = OrderedDict()
        self.under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            parts = await self.socket.recv_multipart()
            if len(parts) != 3 or parts[1]:
                continue  # no REQ socket's message: nobody waits for an answer
            if len(self.under_way) >= MOST_UNDER_WAY:
                busy = {"error": "the server is busy; ask again later"}
                await self.socket.send_multipart([parts[0], b"", GROOT.pack(busy)])
                continue
            task = asyncio.create_task(self._serve(parts[0], parts[2]))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    def close(self) -> None:
        """Hang up; what is under way is dropped."""
        for task in self.under_way:
            task.cancel()
        self.socket.close()

    async def _serve(self, client: bytes, data: bytes) -> None:
        with self.service.request():
            try:
                answer = await self._answer(client, data)
            except (BadFrame, Busy, AgentFailed) as error:
                await pause(error)
                answer = {"error": str(error)}
            except Exception as error:  # a REQ socket that gets no answer can never ask again
                answer = {"error": f"this request cannot be answered ({type(error).__name__})"}
            await self.socket.send_multipart([client, b"", GROOT.pack(answer)])

    async def _answer(self, client: bytes, data: bytes) -> Any:
        message = GROOT.unpack(data) if len(data) <= SMALL else await asyncio.to_thread(GROOT.unpack, data)
        if not isinstance(message, dict):
            raise BadFrame("a request is a map with `endpoint` and `data`")
        if not self.fits(message.get("api_token", "")):
            raise BadFrame("Unauthorized: Invalid API token")
        endpoint, given = message.get("endpoint", "get_action"), message.get("data")
        if endpoint == "ping":
            return {"status": "ok", "message": "Server is running"}
        if endpoint == "get_modality_config":
            return self.service.metadata()
        if endpoint == "reset":
            for key in [key for key in self.seats if key[0] == client]:
                del self.seats[key]
            return {}
        if endpoint == "get_action":
            return await self._actions(client, given if isinstance(given, dict) else {})
        raise BadFrame(f"the endpoint {str(endpoint)[:40]!r} is not served here")

    async def _actions(self, client: bytes, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        options = given.get("options")
        named = options.get("playloop") if isinstance(options, dict) else None
        rows = observations(given.get("observation"))
        if named is not None and (not isinstance(named, list) or len(named) != len(rows)):
            raise BadFrame("`playloop` holds an identity for every row")
        asked = []
        for number, row in enumerate(rows):
            one = named[number] if named is not None else None
            seat = self._seat((client, number, key_of(one)))
            asked.append(self.service.decide(seat, {**row, "playloop": one}, "groot"))
        found = await asyncio.gather(*asked, return_exceptions=True)
        chunks = []
        for one in found:
            if isinstance(one, BaseException):
                raise one
            chunks.append(one.actions if named is not None else opening(one.actions, self.service.contract))
        whole, contract = np.stack(chunks), self.service.contract
        names = GROUPS if contract.family == "libero" else contract.action_names
        return [{name: whole[:, :, i : i + 1] for i, name in enumerate(names)}, {}]

    def _seat(self, key: Any) -> Seat:
        """The place of a client's row; of an episode's where it says which, in whatever row it comes."""
        if key[2] is not None:
            key = (key[0], None, key[2])
        seat = self.seats.setdefault(key, Seat())
        self.seats.move_to_end(key)
        if len(self.seats) > MOST_SEATS:
            self.seats.popitem(last=False)
        return seat


def key_of(identity: Any) -> str | None:
    """What tells an episode of a client from its others."""
    episode = identity.get("episode") if isinstance(identity, Mapping) else None
    return None if episode is None else repr(episode)[:400]


def observations(found: Any) -> list[dict[str, Any]]:
    """A batch in either form as one flat map a row: the newest picture and state of each, and the sentence.

    Raises:
        BadFrame: it is none, or its parts have different numbers of rows.
    """
    if not isinstance(found, dict):
        raise BadFrame("`observation` is a map of pictures, states and the instruction")
    parts = {
        f"{part}.{name}": value
        for part in ("video", "state")
        for name, value in _map(found.get(part)).items()
    }
    parts |= {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    lists = _map(found.get("language")) or {k: value for k, value in found.items() if isinstance(value, list)}
    said: Any = next(iter(lists.values()), [])
    texts = (
        [one[0] if isinstance(one, list) and one else one for one in said] if isinstance(said, list) else []
    )
    if strange := [name for name in parts if not isinstance(name, str)]:
        raise BadFrame(f"a key of `observation` is a text, not {type(strange[0]).__name__}")
    wrong = [
        name for name, value in parts.items() if getattr(value, "ndim", 0) < 3 or len(value) != len(texts)
    ]
    if wrong or not 1 <= len(texts) <= MOST_ROWS:
        raise BadFrame(
            f"{wrong[0] if wrong else 'the instructions'!r}: pictures [B, T, H, W, 3], states [B, T, D] and "
            f"B instructions are of equally many rows, at most {MOST_ROWS}"
        )
    return [{"instruction": text, **_row(parts, row)} for row, text in enumerate(texts)]


def _map(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _row(parts: Mapping[str, np.ndarray], row: int) -> dict[str, Any]:
    """One row: pictures by their names, the state as one vector."""
    made: dict[str, Any] = {}
    states: dict[str, np.ndarray] = {}
    for name, value in parts.items():
        if not value.shape[1]:
            raise BadFrame(f"{name!r} holds no time")
        kind, _, key = name.partition(".")
        (made if kind == "video" else states)[key] = value[row, -1]
    if "state" in states:
        return {**made, "state": states["state"]}
    order = [name for name in GROUPS if name in states] + sorted(states.keys() - set(GROUPS))
    return {**made, "state": np.concatenate([np.ravel(states[name]) for name in order])} if order else made
