"""Open the port, and serve there with uvicorn.

Unknown connections, of others than our own page, are few, have little time, and keep nobody out.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SECONDS = 5.0
"""From a connection, or from the end of an answer, to a whole request."""
EACH, ALL = 16, 64
"""Unknown connections from one address, and from all of them."""
MESSAGE_BYTES = 16_384
"""Longest message that a page may send; input needs some hundred bytes."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address; port 0 picks a free one.

    Raises:
        OSError: the address is taken or not ours; says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(64)  # a browser that comes before the server runs waits instead of failing
    except OSError as error:
        found.close()
        raise OSError(
            f"host={host} port={port} cannot be used ({error.strerror}); choose another."
        ) from error
    return found


class ConnectionLimit:
    """Counts unknown connections: those that have not sent a request that was let in yet.

    Where they are too many the oldest is closed, of the same address first: whoever sends a request at once
    gets in, however many keep silent.
    """

    def __init__(self) -> None:
        self._unknown: dict[Any, LimitedHTTP] = {}

    def add(self, connection: LimitedHTTP) -> None:
        """A connection was made."""
        self._unknown[connection.client] = connection
        neighbours = [other for other in self._unknown.values() if other.source == connection.source]
        if len(neighbours) > EACH:
            self._close(neighbours[0])
        elif len(self._unknown) > ALL:
            self._close(next(iter(self._unknown.values())))

    def remove(self, client: Any) -> None:
        """The connection from this address and port is known, or closed."""
        self._unknown.pop(client and tuple(client), None)

    def _close(self, connection: LimitedHTTP) -> None:
        self.remove(connection.client)
        connection.transport.abort()


class LimitedHTTP(H11Protocol):
    """uvicorn's HTTP/1.1, with a limit on the time until a request is whole; its size is limited already."""

    def __init__(self, limit: ConnectionLimit, **uvicorn: Any):
        super().__init__(**uvicorn)
        self.limit = limit

    @property
    def source(self) -> str:
        """The address; of IPv6 the network, within which one machine has as many addresses as it likes."""
        host = self.client[0] if self.client else ""
        if ":" in host:
            return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
        return host

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.limit.add(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        self.limit.remove(self.client)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._patience.cancel()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._patience.cancel()
        self.limit.remove(self.client)  # it is let in or closed at once
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # no other request has come behind it
            self._patience.cancel()
            self._wait()

    def _wait(self) -> None:
        self._patience = self.loop.call_later(SECONDS, self.transport.abort)


class BytesWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which hands text on as bytes: its own decoding raises where it is no UTF-8."""

    def handle_text(self, event: Any) -> None:
        self.handle_bytes(event)


class Server(uvicorn.Server):
    """uvicorn's, which also ends in order when its terminal is closed (SIGHUP)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`; a SIGHUP that is ignored, as under nohup, stays so."""
        main = threading.current_thread() is threading.main_thread()
        ours = main and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        if ours:
            signal.signal(signal.SIGHUP, self.handle_exit)
        try:
            with super().capture_signals():
                yield
        finally:
            if ours:
                signal.signal(signal.SIGHUP, signal.SIG_DFL)


def make_server(
    app: Any,
    connections: ConnectionLimit,
    message_bytes: int = MESSAGE_BYTES,
    ping: float | None = 20.0,
    cls: type[Server] = Server,
) -> Server:
    """What serves it with `run(sockets=[…])` until `should_exit` is set or the process gets a signal to end.

    Sessions are closed in order then.

    Args:
        app: what is served.
        connections: counts unknown ones.
        message_bytes: longest message of a WebSocket.
        ping: seconds between questions whether the other end is there, and for its answer; None: never asked.
        cls: of the server.
    """
    config = uvicorn.Config(
        app,
        http=functools.partial(LimitedHTTP, connections),  # type: ignore[arg-type]
        ws=BytesWebSocket,
        ws_max_size=message_bytes,
        ws_ping_interval=ping,
        ws_ping_timeout=ping,
        ws_max_queue=8,
        ws_per_message_deflate=False,  # frames are compressed or tiny; deflating them costs milliseconds
        lifespan="on",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )
    return cls(config)
