"""Open the port, and serve there."""

from __future__ import annotations

import contextlib
import functools
import signal
import socket
import threading
from collections.abc import Iterator

import uvicorn

from playloop.rollouts.play.connections import BytesWebSocket, LimitedHTTP
from playloop.rollouts.play.server import PlayServer

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


class Server(uvicorn.Server):
    """uvicorn's, which also ends in order when its terminal is closed (SIGHUP)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`; a SIGHUP that is ignored, as under nohup, stays so."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:
            with super().capture_signals():
                yield
            return
        signal.signal(signal.SIGHUP, self.handle_exit)
        try:
            with super().capture_signals():
                yield
        finally:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def make_server(server: PlayServer) -> Server:
    """What serves it with `run(sockets=[…])` until `should_exit` is set or the process gets a signal to end.

    Sessions are closed in order then.
    """
    config = uvicorn.Config(
        server.app,
        http=functools.partial(LimitedHTTP, server.connections),  # type: ignore[arg-type]
        ws=BytesWebSocket,
        ws_max_size=MESSAGE_BYTES,
        ws_max_queue=8,
        ws_per_message_deflate=False,  # frames are compressed or tiny; deflating them costs milliseconds
        lifespan="on",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )
    return Server(config)
