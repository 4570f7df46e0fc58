"""Open the ports, serve, and drain when told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from types import FrameType

from playloop.rollouts.play.serving import Server, make_server
from playloop.serving.app import ServeApp

DRAIN = 30.0
"""Longest wait for requests in flight once the server is told to stop."""
TICK = 0.02


class DrainingServer(Server):
    """Told to stop, it takes no more requests, answers those in flight, and ends; told again, it ends now."""

    serve_app: ServeApp

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See `uvicorn.Server`; called in the main thread, between two steps of the loop."""
        service = self.serve_app.service
        if service.draining:
            self.should_exit = True
        service.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        service = self.serve_app.service
        if service.draining and not self.should_exit:
            await self._drain()
        return bool(await super().on_tick(counter))

    async def _drain(self) -> None:
        for listener in self.servers:
            listener.close()  # who comes now finds nobody, and asks elsewhere
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while self.serve_app.service.busy and not self.should_exit:
                    await asyncio.sleep(TICK)
        self.should_exit = True


def server_of(app: ServeApp) -> DrainingServer:
    """What serves the application with `run(sockets=[…])`; it asks nobody whether they are still there.

    A client that builds a simulator in the thread that answers is silent for minutes.
    """
    made = make_server(app.app, app.connections, app.message_bytes, None, DrainingServer)
    assert isinstance(made, DrainingServer)
    made.serve_app = app
    return made
