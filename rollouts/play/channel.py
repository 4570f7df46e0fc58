"""The server's end of a session: its process, and what goes to and fro, in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Any

from playloop.agents.keymaps import Held
from playloop.rollouts.play.messages import Command, Input, Seen
from playloop.rollouts.play.session import SessionConfig, play
from playloop.rollouts.processes import ProcessWorker, WorkerDied

TEXTS = 64
"""Messages that may wait for a slow page; then it is dropped."""
IN_FLIGHT = 3
"""Frames that may be on their way to the page; beyond them only the newest is kept."""
PATIENCE = 15.0
"""Seconds that a session's process has to save its recording and end by itself."""


class Overrun(Exception):
    """The page, or the session, does not take what it is sent."""


class Channel:
    """Starts the process; two threads carry messages, so that no slow process ever stops the server.

    Input is merged while it waits, of frames only the newest waits, everything else waits in short queues.
    Use within a running event loop.
    """

    def __init__(self, config: SessionConfig):
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._worker = ProcessWorker(config, main=play, grace=PATIENCE)
        self._texts: deque[tuple[str, Any]] = deque()
        self._frame: tuple[int, bytes] | None = None
        self._drawn = self._sent = 0
        self._why = ""
        self._ready = self._ended = False
        self.hello: dict[str, Any] = {}
        """What the session said of itself first."""
        self._held = Held()
        self._felt = False
        self._commands: deque[Any] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._talk, daemon=True).start()

    # -- to the session ---------------------------------------------------------------------------------

    def take(self, message: Input | Seen | Command) -> None:
        """Hand a message on; input is dropped until the session is ready.

        Raises:
            Overrun: too many commands wait already.
        """
        if isinstance(message, Seen):
            self._drawn = min(max(self._drawn, message.frame), self._sent)
            self._news.set()
            return
        with self._wake:
            if not isinstance(message, Input):
                if len(self._commands) >= TEXTS:
                    raise Overrun("too many commands wait for the session")
                self._commands.append(message)
            elif self._ready:
                self._held, self._felt = self._held.then(message.held()), True
            self._wake.notify()

    # -- from the session -------------------------------------------------------------------------------

    async def next(self) -> tuple[str, Any]:
        """What is to be sent next: ("text", dict), ("recorded", …) or ("frame", bytes); ("end", why) at last.

        Raises:
            Overrun: the page is too slow even for the few texts there are.
        """
        while True:
            self._news.clear()
            if len(self._texts) > TEXTS:
                raise Overrun("the page does not read")
            if self._texts:
                return self._texts.popleft()
            if self._frame is not None and self._sent - self._drawn < IN_FLIGHT:
                (self._sent, frame), self._frame = self._frame, None
                self._drawn = self._drawn or self._sent - 1
                return "frame", frame
            if self._ended:
                return "end", self._why
            await self._news.wait()

    async def close(self) -> None:
        """Hang up: the process saves and ends, or is ended."""
        if self._closed:
            return
        with self._wake:
            self._closed = True
            self._wake.notify()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        # A read in progress keeps the connection open whatever we close: the process has to end it.
        self._listener.join(PATIENCE)
        if self._listener.is_alive():
            self._worker.process.kill()
            self._listener.join()
        self._worker.stop(patience=1.0)

    # -- threads ----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take in what the process sends until it ends."""
        kind = ""
        while kind != "ended":
            try:
                kind, content = self._worker.receive()
            except WorkerDied as death:
                kind, content = "ended", f"{death}."
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._arrived, kind, content)

    def _arrived(self, kind: str, content: Any) -> None:
        if kind == "frame":
            self._frame = content
        elif kind in ("failed", "ended"):
            self._why, self._ended = self._why or content, kind == "ended"
        else:
            if kind == "text" and content["type"] == "hello":
                self.hello = content
            self._ready |= kind == "text" and content["type"] == "ready"
            if len(self._texts) <= TEXTS:
                self._texts.append((kind, content))
        self._news.set()

    def _talk(self) -> None:
        """Pass on what waits for the process."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._felt or self._commands)
                if self._closed:
                    break
                waiting: list[Any] = [self._held] if self._felt else []
                self._held, self._felt = self._held.rest(), False
                waiting += self._commands
                self._commands.clear()
            for item in waiting:
                self._worker.send(item)
        self._worker.send(None)  # hang up
