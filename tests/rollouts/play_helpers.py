"""A real server in a thread, and a plain client for it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import os
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import websockets
from PIL import Image
from websockets.asyncio.client import ClientConnection

from playloop.agents.base import Plan
from playloop.core.episode import FRESH, Episode
from playloop.envs.toy import SUITE, ToyReach, ToyReachConfig
from playloop.rollouts.play.access import AccessCheck
from playloop.rollouts.play.server import PlayServer
from playloop.rollouts.play.serving import listen, make_server
from playloop.rollouts.play.session import SessionConfig

TOY = ToyReachConfig(horizon=10_000)
START = Episode(SUITE, 0, FRESH, 5)


def toy_session(out: Path, env=TOY, world=None, **changes) -> SessionConfig:
    parts = {"env": env, "world": world} if world else {"env": env}
    return SessionConfig(parts, START, out, **{"fps": 20.0, **changes})


def unpack(message: bytes) -> tuple[dict, list[np.ndarray]]:
    """The header of a frame as it comes from the server, and its images."""
    (length,) = struct.unpack_from("<I", message)
    header, start, images = json.loads(message[4 : 4 + length]), 4 + length, []
    for view in header["views"]:
        data = message[start : start + view["size"]]
        if view["format"] == "rgb":
            images.append(np.frombuffer(data, np.uint8).reshape(view["height"], view["width"], 3))
        else:
            images.append(np.asarray(Image.open(io.BytesIO(data), formats=["JPEG"]).convert("RGB")))
        start += view["size"]
    assert start == len(message)
    return header, images


@contextlib.contextmanager
def serving(config: SessionConfig, token: str | None = None, loopback: bool = True, **limits):
    """The address of a server that runs meanwhile, and the server."""
    server = PlayServer(config, AccessCheck(loopback, token), **limits)
    listener = listen("127.0.0.1", 0)
    uvicorn = make_server(server.app, server.connections)
    thread = threading.Thread(target=uvicorn.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", server
    finally:
        uvicorn.should_exit = True
        thread.join(60)
        listener.close()
        assert not thread.is_alive(), "the server does not stop"


def connect(address: str, query: str = "", **options) -> websockets.connect:
    options = {"origin": f"http://{address}", "compression": None, **options}
    return websockets.connect(f"ws://{address}/play{query}", **options)


class Client:
    """Speaks the page's side of the protocol."""

    def __init__(self, socket: ClientConnection):
        self.socket = socket
        self.texts: list[dict] = []
        self.seq = 0

    async def say(self, kind: str, **facts) -> None:
        await self.socket.send(json.dumps({"type": kind, **facts}))

    async def hold(self, *keys: str) -> int:
        self.seq += 1
        await self.say("input", seq=self.seq, keys=list(keys))
        return self.seq

    async def text(self, kind: str, **facts) -> dict:
        """The next message of this kind that says so; frames that come before are drawn."""
        while True:
            found = await self.any()
            assert kind == "error" or found.get("type") != "error", found
            if found.get("type") == kind and all(found[name] == value for name, value in facts.items()):
                return found

    async def any(self) -> dict:
        """The next message, a frame as its header with `images`."""
        message = await asyncio.wait_for(self.socket.recv(), 60)
        if isinstance(message, str):
            self.texts.append(json.loads(message))
            return self.texts[-1]
        header, images = unpack(message)
        await self.say("seen", frame=header["frame"])
        names = [f"{view['part']}/{view['camera']}" for view in header["views"]]
        return {**header, "images": dict(zip(names, images, strict=True))}

    async def frame(self, seq: int = 0) -> dict:
        """The next frame that is made of input up to `seq`."""
        while True:
            found = await self.any()
            if "images" in found and found["seq"] >= seq:
                return found

    async def until(self, condition, patience: int = 300) -> dict:
        """The first frame that fulfils a condition."""
        for _ in range(patience):
            found = await self.frame()
            if condition(found):
                return found
        raise AssertionError("no frame shows it")

    async def frames(self, count: int) -> list[dict]:
        return [await self.frame() for _ in range(count)]


@contextlib.asynccontextmanager
async def playing(address: str, query: str = "", **options):
    """A client whose session is ready."""
    async with connect(address, query, **options) as socket:
        client = Client(socket)
        await client.text("ready")
        yield client


def run(test, address, *rest):
    return asyncio.run(asyncio.wait_for(test(address, *rest), 120))


def request(address, method, path, body=None, **headers):
    connection = http.client.HTTPConnection(address, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Origin": f"http://{address}", **names})
    answer = connection.getresponse()
    return answer.status, answer.read()


def point(frame: dict, part: str = "env") -> np.ndarray:
    """Where the dark point is in the toy's top image: x, y in pixels."""
    rows, columns = np.nonzero((frame["images"][f"{part}/top"] == (24, 26, 30)).all(-1))
    return np.array([columns.mean(), rows.mean()])


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += (task / "children").read_text().split()
    return [int(child) for child in found if "spawn_main" in command_line(child)]


def command_line(pid: str) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def sessions_of(pid: int | None = None) -> list[int]:
    return children(os.getpid() if pid is None else pid)


def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.05)


class ImaginedToy(ToyReach):
    """A toy that offers what a world model offers; a start image says where its point is."""

    warmed = 0

    @property
    def sampler(self) -> Sampler:
        return self.config.sampler

    def warm_up(self) -> None:
        self.warmed += 1

    def sampling(self, temperature: float, top_p: float, top_k: int | None = None) -> None:
        if temperature > 1.5:
            raise ValueError("too hot for a toy")
        self.squares = np.full((4, 2), top_p)

    def start_from(self, frames: np.ndarray) -> None:
        assert self.warmed and frames.ndim == 4 and frames.dtype == np.uint8
        rows, columns = np.nonzero(frames[-1].astype(int).sum(-1) < 120)
        self.position = (np.array([columns.mean(), rows.mean()]) + 0.5) / frames.shape[2]


class Clumsy:
    """An agent whose third decision in the first episode is of no use, and who cannot begin the third one."""

    reads = frozenset()
    rows = 1

    def prepare(self, contract) -> None:
        pass

    def begin(self, episode) -> tuple[int, int]:
        if episode.seed > START.seed + 1:
            raise LookupError("nobody knows this episode")
        return episode.seed, 0

    def act(self, carries, observations, rngs) -> tuple[list, list[Plan]]:
        [(seed, decisions)] = carries
        wrong = decisions >= 2 and seed == START.seed
        return [(seed, decisions + 1)], [Plan(np.full((1, 2), np.nan if wrong else 0.0))]


@dataclass(frozen=True)
class ClumsyConfig:
    def make(self) -> Clumsy:
        return Clumsy()


@dataclass(frozen=True)
class Sampler:
    temperature: float = 1.0
    top_p: float = 0.9
    top_k: int | None = None


@dataclass(frozen=True)
class ImaginedToyConfig(ToyReachConfig):
    sampler: Sampler = Sampler()

    def make(self) -> ImaginedToy:
        return ImaginedToy(self)
