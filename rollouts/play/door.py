"""uvicorn's protocols, made safe against strangers: they are few, have little time, and keep nobody out."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SECONDS = 5.0
"""From a connection, or from the end of an answer, to a whole request."""
EACH, ALL = 16, 64
"""Connections of strangers from one address, and of all of them."""


class Door:
    """Counts connections that have not shown yet that they may be here (by the token, where there is one).

    Where they are too many the oldest is closed, of the same address first: whoever sends a request at once
    gets in, however many keep silent.
    """

    def __init__(self, each: int = EACH, everyone: int = ALL):
        self._each, self._all = each, everyone
        self._strangers: dict[Any, Visitor] = {}

    def enter(self, visitor: Visitor) -> None:
        """A connection was made."""
        self._strangers[visitor.client] = visitor
        neighbours = [other for other in self._strangers.values() if other.origin == visitor.origin]
        if len(neighbours) > self._each:
            self._send_away(neighbours[0])
        elif len(self._strangers) > self._all:
            self._send_away(next(iter(self._strangers.values())))

    def welcome(self, client: Any) -> None:
        """The connection from this address and port is no stranger's."""
        self._strangers.pop(client and tuple(client), None)

    leave = welcome

    def _send_away(self, visitor: Visitor) -> None:
        self.leave(visitor.client)
        visitor.transport.abort()


class Visitor(H11Protocol):
    """uvicorn's HTTP/1.1, with a limit on the time until a request is whole; its size is limited already."""

    def __init__(self, door: Door, **uvicorn: Any):
        super().__init__(**uvicorn)
        self.door = door
        self._patience: asyncio.TimerHandle | None = None

    @property
    def origin(self) -> str:
        """The address; of IPv6 the network, within which one machine has as many addresses as it likes."""
        host = self.client[0] if self.client else ""
        if ":" in host:
            return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
        return host

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.door.enter(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        self.door.leave(self.client)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_no_more()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._wait_no_more()
        self.door.leave(self.client)  # it is let in or closed at once
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # no other request has come behind it
            self._wait()

    def _wait(self) -> None:
        self._wait_no_more()
        self._patience = self.loop.call_later(SECONDS, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class Talk(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which hands text on as bytes: its own decoding raises where it is no UTF-8."""

    def handle_text(self, event: Any) -> None:
        self.handle_bytes(event)
