"""The port: WebSockets and plain requests, told apart by path and handshake."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from playloop.rollouts.play.serving import ConnectionLimit
from playloop.serving import oft, openpi, roboarena, vla_eval
from playloop.serving.access import ServeAccess
from playloop.serving.groot import GrootServer
from playloop.serving.link import Gone, Link
from playloop.serving.service import Service

FIRST = 0.25
"""Seconds in which a client of vla-eval speaks; one of openpi waits for us."""
POLICY_VIOLATION, TRY_LATER = 1008, 1013


class ServeApp:
    """The application, `app`, of one service.

    Args:
        service: that decides.
        access: who may ask.
        most: WebSockets at a time.
        message_bytes: most of one message.
    """

    def __init__(self, service: Service, access: ServeAccess, most: int = 64, message_bytes: int = 16 << 20):
        self.service, self.access, self.most, self.message_bytes = service, access, most, message_bytes
        self.connections = ConnectionLimit()
        routes = [
            Route("/healthz", self.healthz),
            Route("/health", self.health),
            Route("/config", self.config),
            Route("/metrics", self.metrics),
            Route("/act", self.act, methods=["POST"]),
            WebSocketRoute("/{path:path}", self.talk),
        ]
        self.groot: GrootServer | None = None
        self.app = Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """GR00T's socket is served beside the others."""
        task = asyncio.create_task(self.groot.run()) if self.groot is not None else None
        try:
            yield
        finally:
            if task is not None and self.groot is not None:
                task.cancel()
                self.groot.close()

    async def healthz(self, request: Request) -> Response:
        """openpi's; needs no token, for whoever watches over servers."""
        self.connections.remove(request.client)
        ready = not self.service.draining
        return PlainTextResponse("OK\n" if ready else "draining\n", 200 if ready else 503)

    async def health(self, request: Request) -> Response:
        """vla-eval's."""
        self.connections.remove(request.client)
        ready = not self.service.draining
        facts = {"status": "ok" if ready else "draining", "name": self.service.name}
        return JSONResponse(facts, 200 if ready else 503)

    async def config(self, request: Request) -> Response:
        """vla-eval's, and what is served; nothing is changed by asking."""
        if (refused := self._refused(request)) is not None:
            return refused
        batcher = self.service.batcher
        figures = {"max_batch_size": batcher.rows, "max_wait_time": batcher.wait}
        return JSONResponse(figures | self.service.metadata())

    async def act(self, request: Request) -> Response:
        """OpenVLA-OFT's."""
        if (refused := self._refused(request)) is not None:
            return refused
        return await oft.act(request, self.service, self.message_bytes)

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        if (refused := self._refused(request)) is not None:
            return refused
        text = self.service.metrics.text(self.service.batcher.depth)
        return Response(text, media_type="text/plain; version=0.0.4")

    def _why(self, request: Request | WebSocket) -> str | None:
        """See `ServeAccess.refusal`; a connection that is not refused is known from now on."""
        why = self.access.refusal(request.headers, request.query_params)
        if why is None:
            self.connections.remove(request.client)
        else:
            self.service.metrics.refused("access")
        return why

    def _refused(self, request: Request) -> Response | None:
        why = self._why(request)
        return None if why is None else JSONResponse({"error": why}, 403)

    async def talk(self, socket: WebSocket) -> None:
        """A WebSocket, of whichever protocol."""
        if self._why(socket) is not None:
            await socket.close(POLICY_VIOLATION)  # before it is accepted: HTTP 403
            return
        await socket.accept()
        metrics = self.service.metrics
        if metrics.connections >= self.most or self.service.draining:
            with contextlib.suppress(Exception):
                await socket.close(TRY_LATER, f"all {self.most} connections are taken"[:100])
            return
        metrics.connections += 1
        try:
            await self._converse(Link(socket), socket.url.path)
        except Gone:
            pass
        finally:
            metrics.connections -= 1

    async def _converse(self, link: Link, path: str) -> None:
        if path == roboarena.PATH:
            return await roboarena.converse(link, self.service)
        first: bytes | None = None
        with contextlib.suppress(TimeoutError):
            first = await link.receive(FIRST)
        if first is not None and vla_eval.greets(first):
            return await vla_eval.converse(link, self.service, first)
        await openpi.converse(link, self.service, first)
