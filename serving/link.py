"""One WebSocket of a client: frames in and out, and the pace of those that are none."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from playloop.core.wire import BadFrame, Form

RESTART = 1012
PAUSE = 0.005
"""Seconds before a frame that is none is answered: whoever sends only such costs others next to nothing."""
SMALL = 4096
"""Bytes up to which a message is read at once; a longer one may hold pictures, and is read in a thread."""


class Gone(Exception):
    """The client has hung up."""


class Link:
    """Frames of one client; the server's `max_size` and its flow control bound what may come."""

    def __init__(self, socket: WebSocket):
        self.socket = socket

    async def receive(self, seconds: float | None = None) -> bytes:
        """The next frame; text is bytes, too.

        Raises:
            Gone: there is none.
            TimeoutError: none came in this time.
        """
        async with asyncio.timeout(seconds):
            found = await self.socket.receive()
        if found["type"] == "websocket.disconnect":
            raise Gone
        data: bytes = found.get("bytes") or (found.get("text") or "").encode()
        return data

    async def unpack(self, form: Form, data: bytes) -> Any:
        """A message; raises `BadFrame`."""
        if len(data) <= SMALL:
            return form.unpack(data)
        return await asyncio.to_thread(form.unpack, data)

    async def send(self, data: bytes) -> None:
        """A frame of bytes; raises `Gone`."""
        try:
            await self.socket.send_bytes(data)
        except (RuntimeError, WebSocketDisconnect, OSError):
            raise Gone from None

    async def say(self, text: str) -> None:
        """A frame of text; raises `Gone`."""
        try:
            await self.socket.send_text(text)
        except (RuntimeError, WebSocketDisconnect, OSError):
            raise Gone from None

    async def leave(self) -> None:
        """Hang up because the server ends: whoever asked begins its episode anew, elsewhere or later."""
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
            await self.socket.close(RESTART, "the server is being stopped")

    async def fault(self, text: str, error: Exception) -> None:
        """Say what went wrong, after a pause if it was the client's frame."""
        await pause(error)
        await self.say(text)


async def pause(error: Exception) -> None:
    """Wait a little before a bad frame is answered."""
    if isinstance(error, BadFrame):
        await asyncio.sleep(PAUSE)
