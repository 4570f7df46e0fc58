"""Servers that speak as the published ones do, on a port of this machine that is free."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import zmq
from client_environments import client_python
from remote_policy import decide
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from playloop.core.wire import GROOT, JSON, OPENPI, VLA_EVAL

HERE = Path(__file__).parent
ARENA = {
    "image_resolution": [64, 64],
    "needs_wrist_camera": False,
    "n_external_cameras": 1,
    "needs_stereo_camera": False,
    "needs_session_id": True,
    "action_space": "joint_velocity",
}


class Policy:
    """What a server decides with; keeps what it was asked, and misbehaves when it is told to.

    `trouble` is called with the number of the request before it is answered.
    """

    def __init__(self, trouble=lambda number: None):
        self.trouble, self.asked, self.lock = trouble, [], threading.Lock()

    def __call__(self, asked, image="image", state="state", prompt="prompt"):
        with self.lock:
            self.asked.append(asked)
            number = len(self.asked) - 1
        self.trouble(number)
        return decide(asked[image], asked[state], asked[prompt])


class HangUp(Exception):
    """The server's process is killed in the middle of a request."""


@contextlib.contextmanager
def websocket(handler, port=0, wants=None):
    def check(connection, request):
        if wants and request.headers.get("Authorization") != wants:
            return connection.respond(401, "no token")

    settings = {"max_size": None, "compression": None, "process_request": check}
    with serve(handler, "127.0.0.1", port, **settings) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def openpi(policy, metadata=None, port=0, wants=None):
    """As openpi's `websocket_policy_server.py`: metadata first, a failure is a traceback and close 1011."""

    def handle(socket):
        socket.send(OPENPI.pack(metadata or {}))
        with contextlib.suppress(ConnectionClosed):
            for message in socket:
                try:
                    actions = policy(OPENPI.unpack(message))
                    socket.send(OPENPI.pack({"actions": actions, "server_timing": {"infer_ms": 1.0}}))
                except HangUp:
                    return socket.socket.close()
                except Exception:
                    socket.send(traceback.format_exc())
                    return socket.close(1011, "Internal server error. Traceback included in previous frame.")

    return websocket(handle, port, wants)


def roboarena(policy, port=0):
    """As robo-arena's `policy_server.py`."""

    def handle(socket):
        socket.send(OPENPI.pack(ARENA))
        with contextlib.suppress(ConnectionClosed):
            for message in socket:
                asked = OPENPI.unpack(message)
                assert asked["session_id"]
                if asked.pop("endpoint") == "reset":
                    socket.send("reset successful")
                else:
                    socket.send(OPENPI.pack(policy(asked)))

    return websocket(handle, port)


def ours_over_vla_eval(policy, started, contract):
    """vla-eval's messages from a server of ours; `started` keeps what episodes begin with."""
    facts = {"contract": contract.to_json(), "execute": 3, "reads": ["images"], "seeded": True}

    def reply(message):
        if message["type"] == "hello":
            return {"protocol_version": 1, "playloop": facts}
        seen = message["payload"]
        asked = {"image": seen["images"]["top"], "state": seen["state"], "prompt": seen["instruction"]}
        return {"actions": policy(asked)}

    def handle(socket):
        with contextlib.suppress(ConnectionClosed):
            for data in socket:
                message = VLA_EVAL.unpack(data)
                if message["type"] == "episode_start":
                    started.append(message["payload"]["task"])
                if message["type"] in ("hello", "observation"):
                    kind = {"hello": "hello", "observation": "action"}[message["type"]]
                    answer = {
                        "type": kind,
                        "payload": reply(message),
                        "seq": message["seq"],
                        "timestamp": 0.0,
                    }
                    socket.send(VLA_EVAL.pack(answer))

    return websocket(handle)


@contextlib.contextmanager
def act(policy):
    """As OpenVLA-OFT's `deploy.py`: a failure is a text under status 200."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = JSON.unpack(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                answer = JSON.pack(list(policy(asked, prompt="instruction")))
            except Exception:
                answer = JSON.pack("error")
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def groot(policy, wrapped=False):
    """As Isaac-GR00T's `server_client.py`, N1.6; `wrapped`: with the simulators' wrapper."""
    socket, done = zmq.Context.instance().socket(zmq.REP), threading.Event()
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def rows(seen):
        names = ("image", "state", "prompt")
        if wrapped:
            parts = [seen["video.image"], seen["state.state"], [[one] for one in seen["prompt"]]]
        else:
            parts = [seen["video"]["image"], seen["state"]["state"], seen["language"]["prompt"]]
        assert parts[0].dtype == np.uint8 and parts[0].ndim == 5 and parts[1].ndim == 3
        return [
            {name: part[row][0] for name, part in zip(names, parts, strict=True)}
            for row in range(len(parts[0]))
        ]

    def answer(message):
        if message["endpoint"] == "ping":
            return {"status": "ok", "message": "Server is running"}
        if message["endpoint"] == "get_modality_config":
            return {"error": "not here"}
        whole = np.stack([policy(row) for row in rows(message["data"]["observation"])])
        prefix = "action." if wrapped else ""
        return [{f"{prefix}x": whole[..., :1], f"{prefix}y": whole[..., 1:]}, {}]

    def run():
        while not done.is_set():
            if socket.poll(50):
                try:
                    reply = answer(GROOT.unpack(socket.recv()))
                except Exception as error:
                    reply = {"error": str(error)}
                socket.send(GROOT.pack(reply))
        socket.close(0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def vla_eval(folder):
    """vla-eval's own server, in an environment of its own."""
    file = folder / "port"
    command = [client_python("vla-eval", "0.8.0"), HERE / "vla_eval_server.py", file]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while not file.exists():
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"ws://127.0.0.1:{file.read_text()}"
    finally:
        process.terminate()
        process.wait()
