"""A policy server in one file, for environments that cannot install Playloop: LeRobot's, openpi's, your own.

    python minimal.py my_module:make_policy --port 8000

`make_policy()` gives a policy: it is called with an observation, a dict as the client sent it with NumPy
arrays for pictures and states, and returns actions [H, A], or a dict that has them as "actions". It may have
`metadata`, a dict that clients are told first, and `reset()`, which is called when a client connects.
`playloop eval agent=remote agent.url=ws://HOST:8000` asks it, as does openpi's client.

Needs numpy, msgpack and websockets 12 or newer, Python 3.8 or newer; copy it wherever you like. Nothing is
unpickled, and it listens to this machine alone unless `--host` says otherwise. It decides one request a time.

The protocol is openpi's: a msgpack map of metadata first, then an observation in, actions out; an error is a
text with a traceback, and the end of the connection. An array is a map with bytes keys: data, dtype, shape.
"""

import argparse
import asyncio
import contextlib
import http
import importlib
import os
import sys
import traceback

import msgpack
import numpy as np
import websockets

try:
    from websockets.asyncio.server import serve  # from 13 on
except ImportError:
    from websockets.server import serve  # type: ignore

MOST_BYTES = 64 * 1024 * 1024


def pack(message):
    """A message as bytes; arrays are of numbers or truths."""

    def default(value):
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            fields = {"data": value.tobytes(), "dtype": value.dtype.str, "shape": list(value.shape)}
            return {b"__ndarray__": True, **{name.encode(): field for name, field in fields.items()}}
        if isinstance(value, np.generic):
            return value.item()
        raise ValueError(f"{type(value).__name__} cannot be sent")

    return msgpack.packb(message, default=default)


def unpack(data):
    """The inverse of `pack`; raises ValueError for what is no message."""

    def hook(found):
        if b"__npgeneric__" in found:
            return found[b"data"]
        if b"__ndarray__" not in found:
            return found
        dtype = np.dtype(str(found[b"dtype"]))
        if dtype.kind not in "biuf":
            raise ValueError(f"arrays of {dtype} are not taken")
        return np.frombuffer(found[b"data"], dtype).reshape(found[b"shape"]).copy()

    try:
        found = msgpack.unpackb(data, object_hook=hook, raw=False, strict_map_key=False)
    except Exception as error:
        raise ValueError(f"no message of openpi's protocol: {str(error)[:100]}") from None
    if not isinstance(found, dict):
        raise ValueError(f"an observation is a map, not {type(found).__name__}")
    return found


def decide(policy, observation):
    """The policy's answer as a map with float32 `actions` [H, A]."""
    found = policy(observation)
    answer = dict(found) if isinstance(found, dict) else {"actions": found}
    actions = np.asarray(answer["actions"], np.float32)
    answer["actions"] = actions[None] if actions.ndim == 1 else actions
    if answer["actions"].ndim != 2 or not np.isfinite(actions).all():
        raise ValueError(f"actions are finite numbers [H, A], not {list(actions.shape)}")
    return answer


async def converse(socket, policy, turn):
    """Serve one client until it hangs up."""
    loop = asyncio.get_running_loop()
    try:
        async with turn:
            await loop.run_in_executor(None, getattr(policy, "reset", lambda: None))
        await socket.send(pack(dict(getattr(policy, "metadata", {}))))
        async for data in socket:
            try:
                observation = unpack(data)
                async with turn:  # policies of PyTorch are not made for two threads
                    answer = await loop.run_in_executor(None, decide, policy, observation)
                await socket.send(pack(answer))
            except websockets.ConnectionClosed:
                raise
            except Exception:
                await socket.send(traceback.format_exc())
                return await socket.close(1011, "the policy failed")
    except websockets.ConnectionClosed:
        pass


async def healthz(*asked):
    """`GET /healthz` → 200; any other path is a websocket. websockets hands over two kinds of arguments."""
    path = asked[0] if isinstance(asked[0], str) else asked[1].path
    if path != "/healthz":
        return None
    if isinstance(asked[0], str):
        return http.HTTPStatus.OK, [], b"OK\n"
    return asked[0].respond(http.HTTPStatus.OK, "OK\n")


async def run(policy, host, port, started=print):
    """Serve until cancelled."""
    turn = asyncio.Lock()
    limits: dict = {"compression": None, "max_size": MOST_BYTES, "ping_interval": None}

    async def answer(socket, *_):
        await converse(socket, policy, turn)

    async with serve(answer, host, port, process_request=healthz, **limits) as server:
        bound = next(iter(server.sockets)).getsockname()
        started(f"Serving at ws://{host}:{bound[1]}")
        await asyncio.Future()


def main():
    parser = argparse.ArgumentParser(description="Serve a policy by openpi's websocket protocol.")
    parser.add_argument("policy", help="module:function that makes the policy")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    module, _, name = given.policy.partition(":")
    sys.path.insert(0, os.getcwd())
    policy = getattr(importlib.import_module(module), name or "make_policy")()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(policy, given.host, given.port, lambda text: print(text, flush=True)))


if __name__ == "__main__":
    main()
