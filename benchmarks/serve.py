"""Requests a second of `playloop serve`: many clients in batches against one at a time, in one run.

Servers are processes of their own, all of them there from the start; the clients ask one after the other
server, in turn. Among them may be somebody who sends nothing but malformed frames.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from typing import Any

import numpy as np
from rich.table import Table
from websockets.sync.client import connect

from playloop.benchmarks.hostile import hostile
from playloop.benchmarks.servers import megabytes, served
from playloop.core.annotations import Count, Name, Natural, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.wire import OPENPI

WAYS = {
    "one at a time": ("max_batch=1", "lanes=1", "threads=1"),
    "one at a time, 2 threads": ("max_batch=1", "lanes=1", "threads=2"),
    "batched": (),
}
"""Name of a server → its settings; the last is compared with the better of the others."""
BATCHED = "batched"


@checked
class ServeBench:
    """Who asks, and how long.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        checkpoint: folder, or the name of a shipped one.
        clients: that ask at once, each for its next chunk as soon as it has one.
        seconds: of asking a server, each time.
        rounds: how often each server is asked, in turn.
        settings: further words for the batched server.
        hostile: malformed frames that are sent besides to the batched server, after the comparison; 0: none.
        enemies: connections that send them.
    """

    checkpoint: Name = "libero"
    clients: Count = 8
    seconds: Positive = 8.0
    rounds: Count = 3
    settings: tuple[str, ...] = ()
    hostile: Natural = 0
    enemies: Count = 8

    def run(self) -> dict[str, Any]:
        """Requests a second and milliseconds to an answer of every server; of hostile frames what they did.

        Raises:
            RuntimeError: a server does not start, or answers with an error.
        """
        with contextlib.ExitStack() as stack:
            servers = {}
            for name, words in WAYS.items():
                own = (*words, *self.settings) if name == BATCHED else words
                servers[name] = stack.enter_context(served("serve", (f"checkpoint={self.checkpoint}", *own)))
            found: dict[str, list[list[float]]] = {name: [] for name in servers}
            for _ in range(self.rounds):
                for name, (address, _) in servers.items():
                    found[name].append(self._ask(address))
            report: dict[str, Any] = {name: self._summary(times) for name, times in found.items()}
            others = [row["per_second"] for name, row in report.items() if name != BATCHED]
            report = {"ways": report, "ratio": report[BATCHED]["per_second"] / max(others)}
            if self.hostile:
                report["hostile"] = self._suffer(*servers[BATCHED])
        return report | {"clients": self.clients, "seconds": self.seconds, "rounds": self.rounds}

    def table(self, report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        turns = f"{report['rounds']} x {report['seconds']:g} s a server, in turn"
        table = Table(
            "",
            "requests/s",
            "p50 ms",
            "p99 ms",
            title=f"{report['clients']} clients, {turns}",
            caption=f"batched / the better of one at a time = {report['ratio']:.2f}",
        )
        rows = dict(report["ways"])
        if bad := report.get("hostile"):
            rows |= {"batched, before": bad["before"], "batched, among hostile frames": bad["during"]}
            table.caption = (
                f"{table.caption}; {bad['frames']} hostile frames in {bad['seconds']:.0f} s, "
                f"{bad['answered']} answered, memory {bad['mb_before']:.0f} to {bad['mb_after']:.0f} MB"
            )
        for name, row in rows.items():
            table.add_row(name, f"{row['per_second']:.1f}", f"{row['p50_ms']:.0f}", f"{row['p99_ms']:.0f}")
        return table

    def _ask(self, address: str, until: threading.Event | None = None) -> list[float]:
        """Seconds of every answer that all clients got in the time, or until the event."""
        ready, go = threading.Barrier(self.clients + 1), time.perf_counter
        times: list[float] = []
        errors: list[BaseException] = []
        end = [0.0]

        def client(number: int) -> None:
            try:
                with connect(address, compression=None, max_size=None) as socket:
                    data = request(OPENPI.unpack(socket.recv()), number)  # type: ignore[arg-type]
                    exchange(socket, data)  # the first includes what is read only once
                    ready.wait()
                    while go() < end[0] if until is None else not until.is_set():
                        start = go()
                        exchange(socket, data)
                        times.append(go() - start)
            except BaseException as error:
                errors.append(error)
                ready.abort()

        threads = [threading.Thread(target=client, args=(number,)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        end[0] = go() + 1e9
        with contextlib.suppress(threading.BrokenBarrierError):
            ready.wait()
        end[0] = go() + self.seconds
        for thread in threads:
            thread.join()
        if errors:
            raise RuntimeError(f"a client failed: {errors[0]}") from errors[0]
        return times

    def _summary(self, rounds: list[list[float]]) -> dict[str, float]:
        times = np.array([time for found in rounds for time in found])
        rates = [len(found) / self.seconds for found in rounds]
        return numbers(times, float(np.mean(rates)))

    def _suffer(self, address: str, process: subprocess.Popen) -> dict[str, Any]:
        """The clients alone, then beside malformed frames, and the server's memory around these."""
        before = self._summary([self._ask(address)])
        memory = megabytes(process.pid)
        done, start = threading.Event(), time.perf_counter()
        told: list[dict[str, int]] = []

        def attack() -> None:
            try:
                told.append(hostile(address, self.hostile, self.enemies))
            finally:
                done.set()

        attacker = threading.Thread(target=attack)
        attacker.start()
        times = np.array(self._ask(address, done))
        attacker.join()
        seconds = time.perf_counter() - start
        if not told or process.poll() is not None:
            raise RuntimeError("the server or the attack ended early.")
        return {
            "before": before,
            "during": numbers(times, len(times) / seconds),
            "seconds": seconds,
            "mb_before": memory,
            "mb_after": megabytes(process.pid),
            **told[0],
        }


def numbers(times: np.ndarray, rate: float) -> dict[str, float]:
    """Requests a second, and milliseconds to an answer."""
    p50, p99 = 1000 * np.quantile(times, (0.5, 0.99))
    return {"per_second": rate, "p50_ms": float(p50), "p99_ms": float(p99)}


def request(metadata: dict[str, Any], number: int) -> bytes:
    """A client's observation: noise, as large as the contract says."""
    contract = Contract.from_json(metadata["playloop"]["contract"])
    rng = np.random.default_rng(number)
    images = {
        f"images/{camera}": rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        for camera, size in contract.cameras.items()
    }
    state = rng.normal(size=len(contract.state_names)).astype(np.float32)
    return OPENPI.pack({**images, "state": state, "prompt": "pick up the milk"})


def exchange(socket: Any, data: bytes) -> None:
    """One request and its answer; RuntimeError if that is none."""
    socket.send(data)
    if isinstance(answer := socket.recv(), str):
        raise RuntimeError(answer)
