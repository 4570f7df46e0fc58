"""Malformed frames, of every kind that a stranger may think of, from a process of their own."""

from __future__ import annotations

import functools
import io
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from playloop.core.wire import OPENPI

PATIENCE = 30.0


@functools.cache
def kinds() -> list[Callable[[random.Random], bytes | str]]:
    """Makers of malformed frames."""
    small = np.zeros((8, 8, 3), np.uint8)
    image = {"observation/image": small, "observation/wrist_image": small, "prompt": "x"}
    bomb = io.BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    claim = {b"__ndarray__": True, b"data": b"", b"dtype": "<f8", b"shape": [2**40, 2**20]}
    picture = {"__image__": True, "format": "png", "data": bomb.getvalue(), "shape": [20000, 20000, 3]}
    hello = {"type": "observation", "payload": {"images": {"agentview": picture}}, "seq": 1, "timestamp": 0.0}
    odd: list[Any] = [
        None,
        [],
        3,
        {},
        {"state": np.zeros(3), "prompt": "x"},
        {**image, "state": np.zeros(8)},
        {**image, "state": np.full(8, np.nan)},
        {**image, "state": "eight"},
        {**image, "state": np.zeros(8), "prompt": "x" * 3000},
        {**image, "playloop": {"episode": {"suite": 1}}},
        {"endpoint": "kill"},
    ]
    plain = [OPENPI.pack(message) for message in odd]
    plain += [msgpack.packb(message) for message in ({"state": claim}, hello, {"state": {b"__ndarray__": 1}})]
    plain += [
        b"\x81" * 60 + b"\x00",
        b"\x91" * 5000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ]
    plain += [b"", b"\x80\x04\x95\x10pickle", bytes(OPENPI.pack({**image, "state": np.zeros(8)})[:200])]
    text = ["hello", "{}", json.dumps({"__numpy__": "AAAA", "dtype": "O", "shape": [1]}), "ä" * 500]
    return [
        lambda rng: rng.choice(plain),
        lambda rng: rng.randbytes(rng.randrange(1, 400)),
        lambda rng: rng.choice(text),
    ]


def hostile(address: str, frames: int, connections: int) -> dict[str, int]:
    """Send them all; how many were sent, answered and cost the connection."""
    command = [sys.executable, "-m", "playloop.benchmarks.hostile", address, str(frames), str(connections)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def attack(address: str, frames: int, seed: int, told: Counter[str]) -> None:
    """One connection's frames, each after the answer to the one before; a new one where it is closed."""
    rng, makers = random.Random(seed), kinds()
    while told["frames"] < frames:
        try:
            with connect(address, compression=None, max_size=None, open_timeout=PATIENCE) as socket:
                socket.recv(PATIENCE)  # metadata
                while told["frames"] < frames:
                    frame = rng.choice(makers)(rng)
                    told["frames"] += 1
                    socket.send(frame)
                    told["answered"] += isinstance(socket.recv(PATIENCE), str | bytes)
        except ConnectionClosed:
            told["closed"] += 1


def main(address: str, frames: int, connections: int) -> None:
    """Send and count; prints JSON."""
    kinds()  # once, before the clock of anybody runs
    counts = [Counter[str](frames=0, answered=0, closed=0) for _ in range(connections)]
    shares = [frames // connections + (number < frames % connections) for number in range(connections)]
    threads = [
        threading.Thread(target=attack, args=(address, share, number, counts[number]))
        for number, share in enumerate(shares)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({name: sum(count[name] for count in counts) for name in counts[0]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
