"""The server: one page, one WebSocket a session, uploads and downloads."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from playloop.core.scratch import scratch_folder
from playloop.rollouts.play import messages
from playloop.rollouts.play.access import AccessCheck, RateLimit
from playloop.rollouts.play.channel import Channel, Overrun
from playloop.rollouts.play.recorder import FinishedRecording, complete_all
from playloop.rollouts.play.serving import ConnectionLimit
from playloop.rollouts.play.session import SessionConfig
from playloop.rollouts.play.uploads import decode_apart

SCRIPTS = ("main.js", "dom.js", "hands.js", "hud.js", "panel.js", "picture.js")
FILES = {"index.html": "text/html", "style.css": "text/css", **dict.fromkeys(SCRIPTS, "text/javascript")}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
POLICY_VIOLATION, TRY_LATER, INTERNAL_ERROR = 1008, 1013, 1011
PIECE_SECONDS = 20.0
"""Longest wait for the next piece of an upload."""
DOWNLOADS = 64
"""Recordings that can still be downloaded; of older ones only the files on disk remain."""


@dataclass
class _Session:
    """What the server knows of a session."""

    channel: Channel
    scratch: Path
    uploading: bool = False
    rate: RateLimit = field(default_factory=RateLimit)


class PlayServer:
    """The application, `app`, around sessions that share nothing but the settings.

    Args:
        config: of every session.
        access: who may talk to it.
        most: sessions at a time.
        upload_bytes: most of one file.
    """

    def __init__(
        self, config: SessionConfig, access: AccessCheck, most: int = 4, upload_bytes: int = 32_000_000
    ):
        self.config, self.access, self.most, self.upload_bytes = config, access, most, upload_bytes
        self.connections = ConnectionLimit()
        self.sessions: dict[str, _Session] = {}
        self.downloads: OrderedDict[str, Path] = OrderedDict()
        routes = [
            Route("/", self.page),
            Route("/{name}", self.page),
            Route("/upload/{session}", self.upload, methods=["POST"]),
            Route("/recordings/{name}.mp4", self.download),
            WebSocketRoute("/play", self.play),
        ]
        self.app = Starlette(routes=routes, lifespan=self._lifespan)

    # -- plain requests ---------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """The page's files, which hold nothing secret: they need no token."""
        name = request.path_params.get("name", "index.html")
        if why := AccessCheck(self.access.loopback).refusal(request.headers, {}, origin=False):
            return PlainTextResponse(why, 403, HEADERS)
        if name not in FILES:
            return PlainTextResponse("there is no such page.", 404, HEADERS)
        content = (resources.files("playloop.rollouts.play") / "page" / name).read_bytes()
        return Response(content, headers=HEADERS, media_type=FILES[name])

    async def upload(self, request: Request) -> Response:
        """A picture or clip for a session's world model to start from, decoded in a process of its own."""
        if why := self._refusal(request):
            return PlainTextResponse(why, 403, HEADERS)
        session = self.sessions.get(request.path_params["session"])
        if session is None or session.uploading:
            return PlainTextResponse("there is no such session, or it is being sent a file.", 409, HEADERS)
        if not session.channel.hello.get("world"):
            why = "a picture needs a world model to go on from it; start with world=NAME."
            return PlainTextResponse(why, 409, {**HEADERS, "Connection": "close"})
        session.uploading = True
        path = session.scratch / secrets.token_hex(8)
        try:
            await self._receive(request, path)
            frames, rate = path.with_suffix(".npy"), session.channel.hello["hz"]
            note = await asyncio.to_thread(decode_apart, path, rate, frames)
            session.channel.take(messages.Start(path=str(frames), note=note))
        except (Overrun, TimeoutError, ClientDisconnect) as error:
            why = str(error) or "the upload did not arrive; try again."
            return PlainTextResponse(why, 413, {**HEADERS, "Connection": "close"})
        except ValueError as error:
            return PlainTextResponse(str(error), 422, HEADERS)
        except OSError as error:  # the disk is full, for instance
            return PlainTextResponse(f"the file cannot be kept: {error.strerror}.", 507, HEADERS)
        finally:
            session.uploading = False
            path.unlink(missing_ok=True)
        return PlainTextResponse("", 202, HEADERS)

    async def _receive(self, request: Request, path: Path) -> None:
        """Write a request's body to a file, piece by piece, each of which has to come soon."""
        size, pieces = 0, aiter(request.stream())
        with path.open("wb") as file:
            while True:
                async with asyncio.timeout(PIECE_SECONDS):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                size += len(piece)
                if size > self.upload_bytes:
                    raise Overrun(f"the file is larger than {self.upload_bytes / 1e6:g} MB.")
                file.write(piece)

    async def download(self, request: Request) -> Response:
        """The video of a recording, under the unguessable name that its page was sent."""
        if why := self._refusal(request, origin=False):
            return PlainTextResponse(why, 403, HEADERS)
        path = self.downloads.get(request.path_params["name"])
        if path is None or not path.is_file():
            return PlainTextResponse("this recording is no longer there.", 404, HEADERS)
        return FileResponse(path, headers=HEADERS, filename=f"{path.parent.name}.mp4")

    def _refusal(self, request: Request | WebSocket, origin: bool = True) -> str | None:
        """See `AccessCheck.refusal`; a connection that is not refused is known from now on."""
        why = self.access.refusal(request.headers, request.query_params, origin)
        if why is None:
            self.connections.remove(request.client)
        return why

    # -- sessions ---------------------------------------------------------------------------------------

    async def play(self, socket: WebSocket) -> None:
        """A session from connection to hang-up."""
        if self._refusal(socket):
            await socket.close(POLICY_VIOLATION)  # before it is accepted: HTTP 403
            return
        await socket.accept()
        if len(self.sessions) >= self.most:
            await _farewell(socket, f"all {self.most} sessions are taken; try later.", TRY_LATER)
            return
        name = secrets.token_urlsafe(16)
        with scratch_folder("play") as scratch:
            session = _Session(Channel(self.config), scratch)
            self.sessions[name] = session
            try:
                await socket.send_json({"type": "session", "id": name, "limit": self.upload_bytes})
                await self._converse(socket, session)
            finally:
                # Closing is shielded: a server that is being stopped still lets recordings be saved.
                await asyncio.shield(self._close(name, session))

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Until the server stops; then every session ends."""
        yield
        await asyncio.gather(*(self._close(name, session) for name, session in list(self.sessions.items())))

    async def _close(self, name: str, session: _Session) -> None:
        await session.channel.close()
        await self._complete()
        self.sessions.pop(name, None)

    async def _complete(self) -> list[FinishedRecording]:
        """Make whole what sessions that were killed have left; the terminal says so."""
        found = await asyncio.to_thread(complete_all, [self.config.out])
        for text, _ in found:
            print(text, flush=True)
        return [done for _, done in found if done is not None]

    async def _converse(self, socket: WebSocket, session: _Session) -> None:
        """Both directions side by side, until either ends."""
        tasks = [asyncio.create_task(way(socket, session)) for way in (self._listen, self._talk)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: sending after the page has hung up
            pass
        except Overrun as error:
            await _farewell(socket, f"{error}.", POLICY_VIOLATION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, socket: WebSocket, session: _Session) -> None:
        """Take in what the page sends; what does not belong ends the session."""
        while True:
            received = await socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            if not session.rate.allow():
                raise Overrun("the page sends too many messages")
            try:
                message = messages.read(received["bytes"])
            except ValueError as error:
                raise Overrun(f"the page sent what is no message ({error})") from None
            session.channel.take(message)

    async def _talk(self, socket: WebSocket, session: _Session) -> None:
        """Send what the session has to show and say."""
        while True:
            kind, content = await session.channel.next()
            if kind == "frame":
                await socket.send_bytes(content)
            elif kind == "recorded":
                await socket.send_json(self._offer(content))
            elif kind == "text":
                await socket.send_json(content)
            else:
                for done in await self._complete():
                    await socket.send_json(self._offer(done))
                return await _farewell(socket, content, INTERNAL_ERROR)

    def _offer(self, recorded: FinishedRecording) -> dict[str, Any]:
        """The message about a finished recording."""
        name = secrets.token_urlsafe(16)
        self.downloads[name] = recorded.video
        if len(self.downloads) > DOWNLOADS:
            self.downloads.popitem(last=False)
        facts = {"folder": str(recorded.folder), "episodes": recorded.episodes, "steps": recorded.steps}
        return {"type": "recorded", "url": f"recordings/{name}.mp4", **facts}


async def _farewell(socket: WebSocket, text: str, code: int) -> None:
    """Say why, then hang up."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_json({"type": "error", "text": text})
        await socket.close(code)
