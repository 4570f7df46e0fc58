"""openpi's websocket: metadata first, then an observation in, a chunk of actions out, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playloop.core.wire import OPENPI, BadFrame
from playloop.serving.batcher import AgentFailed, Busy
from playloop.serving.link import Link
from playloop.serving.service import Draining, Seat, Service


async def converse(link: Link, service: Service, first: bytes | None = None) -> None:
    """Serve a connection until it ends; `first` has come already.

    An error is a text frame, as openpi's, but the connection stays: whoever wants may ask again.
    """
    await link.send(OPENPI.pack(service.metadata()))
    seat = Seat()
    while True:
        data = await link.receive() if first is None else first
        first = None
        with service.request():
            try:
                message = await link.unpack(OPENPI, data)
                reply = await answer(service, seat, message, "openpi")
            except Draining:
                return await link.leave()
            except (BadFrame, Busy, AgentFailed) as error:
                await link.fault(str(error), error)
            else:
                await link.send(reply)


async def answer(service: Service, seat: Seat, message: Any, protocol: str) -> bytes:
    """The frame with the actions."""
    if not isinstance(message, Mapping):
        raise BadFrame(f"an observation is a map, not {type(message).__name__}")
    found = await service.decide(seat, message, protocol)
    reply = {
        "actions": found.actions,
        "policy_timing": {"infer_ms": found.infer_ms},
        "server_timing": {"infer_ms": found.infer_ms, "wait_ms": found.wait_ms},
    }
    return OPENPI.pack(reply)
