"""Malformed frames, strangers without a token, too many requests, and a server that is told to stop."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from served import served
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from playloop.benchmarks.hostile import hostile
from playloop.core.wire import OPENPI

SLOW = """
import time

import numpy as np

from playloop.envs.toy import ToyReachConfig


class Slow:
    contract, chunk, batch = ToyReachConfig().contract(), 2, 1

    def initial(self, batch):
        return [None] * batch

    def __call__(self, carry, observations, generators):
        time.sleep(1.0)
        size = len(self.contract.action_names)
        return carry, np.zeros((len(observations), self.chunk, size), np.float32), {}
"""


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "slow_policy.py").write_text(SLOW)
    return tmp_path


def request(metadata):
    contract = metadata["playloop"]["contract"]
    images = {f"images/{name}": np.zeros((*size, 3), np.uint8) for name, size in contract["cameras"].items()}
    return OPENPI.pack({**images, "state": np.zeros(len(contract["state_names"])), "prompt": "go"})


@contextlib.contextmanager
def opened(address, **settings):
    """A connection, and a request that suits the server."""
    with connect(f"ws://{address}", compression=None, max_size=None, **settings) as socket:
        yield socket, request(OPENPI.unpack(socket.recv(10)))


def let_in(address, **settings):
    with opened(address, **settings) as (_, good):
        return bool(good)


def text_of(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read().decode()


def test_malformed_frames_are_answered_and_forgotten():
    with served("env=toy", "agent=random") as (address, process), contextlib.ExitStack() as stack:
        socket, good = stack.enter_context(opened(address))
        socket.send(good)
        before = socket.recv(30)
        told = hostile(f"ws://{address}", 600, 4)
        assert told == {"frames": 600, "answered": 600, "closed": 0}
        socket.send(good)
        assert (
            OPENPI.unpack(socket.recv(30))["actions"].tobytes() == OPENPI.unpack(before)["actions"].tobytes()
        )
        assert text_of(f"http://{address}/healthz") == "OK\n"
        assert 'playloop_refused_total{why="bad"}' in text_of(f"http://{address}/metrics")
        assert process.poll() is None


def test_told_to_stop_it_answers_what_it_has_taken(slow):
    with served("policy=slow_policy.Slow", cwd=slow) as (address, process), opened(address) as (socket, good):
        socket.send(good)
        time.sleep(0.4)
        process.terminate()
        assert OPENPI.unpack(socket.recv(30))["actions"].shape[0] == 2
        assert process.wait(20) == 0


def test_one_request_too_many_is_told_at_once(slow):
    server = served("policy=slow_policy.Slow", "queue=1", cwd=slow)
    with server as (address, _), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened(address)) for _ in range(4)]
        for socket, good in clients:
            socket.send(good)
        start, said = time.monotonic(), [None] * 4

        def hear(number):
            said[number] = clients[number][0].recv(30), time.monotonic() - start

        threads = [threading.Thread(target=hear, args=(number,)) for number in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        refused = [(text, seconds) for text, seconds in said if isinstance(text, str)]
        assert len(refused) == 2
        assert all("the server is busy" in text and seconds < 1 for text, seconds in refused)


def test_strangers_need_the_token():
    with served("env=toy", "agent=random", "token=secret", "origins=[https://ours.example]") as (address, _):
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic secret"}):
            with pytest.raises(InvalidStatus, match="403"):
                let_in(address, additional_headers=headers)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            text_of(f"http://{address}/metrics")
        assert text_of(f"http://{address}/healthz") == "OK\n"
        for scheme in ("Bearer", "Api-Key"):
            assert let_in(address, additional_headers={"Authorization": f"{scheme} secret"})
            assert "playloop" in text_of(f"http://{address}/metrics", Authorization=f"{scheme} secret")
        assert "playloop" in text_of(f"http://{address}/metrics?token=secret")
        token = {"Authorization": "Bearer secret"}
        assert let_in(address, additional_headers=token, origin="https://ours.example")
        with pytest.raises(InvalidStatus, match="403"):
            let_in(address, additional_headers=token, origin="https://another.example")
        with pytest.raises(urllib.error.HTTPError, match="403"):  # a page under a name of its own
            text_of(f"http://{address}/metrics?token=secret", Host="rebound.example")
