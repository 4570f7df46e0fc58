"""Requests of many clients, gathered into calls of one agent.

A call takes what waits as soon as a lane is free, at most `rows`. A row's plan depends on its own carry,
observation and generator only (`agents.base`), so nobody's answer depends on who else asks. Several lanes, a
thread each, call the agent at once: PyTorch lets go of Python's lock in its kernels, and two calls on a core
each beat one call on two cores where the matrices are small.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from playloop.agents.base import Agent, Plan
from playloop.envs.checks import checked_plan
from playloop.rollouts.worker import RAISED, error_text


class Busy(RuntimeError):
    """So many wait already that this request is not taken."""


class AgentFailed(RuntimeError):
    """The agent raised, or its plan is none, for this request alone."""


@dataclass(frozen=True)
class Row:
    """What is decided: see `Agent.act`."""

    carry: Any
    observation: dict[str, Any]
    rng: np.random.Generator


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Args:
        carry: afterwards.
        plan: the actions.
        seconds: that the agent took for the whole call.
        waited: seconds before it.
        rows: of the call.
    """

    carry: Any
    plan: Plan
    seconds: float
    waited: float
    rows: int


@dataclass(eq=False)
class _Waiting:
    row: Row
    future: asyncio.Future
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """See the module; used from one event loop.

    Args:
        agent: who decides, prepared.
        actions: how many numbers an action has.
        rows: of a call at most; None for the agent's own.
        lanes: calls at once.
        wait: seconds for which a free lane waits for a call to become full; 0: it takes what there is.
        most: requests that may wait.
        begin: called once in each lane's thread before it works.
    """

    def __init__(
        self,
        agent: Agent,
        actions: int,
        rows: int | None = None,
        lanes: int = 1,
        wait: float = 0.0,
        most: int = 256,
        begin: Callable[[], None] = lambda: None,
    ):
        self.agent, self.actions, self.wait, self.most = agent, actions, wait, most
        self.rows = min(rows or agent.rows, agent.rows)
        self._free = lanes
        self._pool = ThreadPoolExecutor(lanes, "lane", begin)
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task] = set()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    async def decide(self, row: Row) -> Decision:
        """The agent's decision.

        Raises:
            Busy: too many wait.
            AgentFailed: the agent raised for this row; says what.
        """
        if len(self._waiting) >= self.most:
            raise Busy(f"the server is busy: {self.most} requests wait already; ask again later")
        waiting = _Waiting(row, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start()
        found: Decision = await waiting.future
        return found

    def close(self) -> None:
        """End the lanes once their calls have."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        """Give free lanes what waits."""
        while self._free and self._waiting:
            spare = self._waiting[0].since + self.wait - time.perf_counter()
            if len(self._waiting) < self.rows and spare > 0:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(spare, self._expired)
                return
            self._launch()

    def _expired(self) -> None:
        self._timer = None
        self._start()

    def _launch(self) -> None:
        """One call: its share of what waits, so that lanes that are free at once do equal work."""
        size = min(self.rows, -(-len(self._waiting) // self._free))
        taken = [self._waiting.popleft() for _ in range(size)]
        taken = [waiting for waiting in taken if not waiting.future.done()]  # who has hung up
        if taken:
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._call(taken))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _call(self, taken: list[_Waiting]) -> None:
        start = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._pool, self._act, [waiting.row for waiting in taken])
        except BaseException as error:
            found = [AgentFailed(error_text(error))] * len(taken)
        finally:
            self._free += 1
            self._start()
        seconds = time.perf_counter() - start
        for waiting, made in zip(taken, found, strict=True):
            if waiting.future.done():
                continue
            if isinstance(made, AgentFailed):
                waiting.future.set_exception(made)
            else:
                carry, plan = made
                waited = start - waiting.since
                waiting.future.set_result(Decision(carry, plan, seconds, waited, len(taken)))

    def _act(self, rows: list[Row]) -> list[tuple[Any, Plan] | AgentFailed]:
        """Decide for these rows; where that goes wrong, row by row, which is the same to every row."""
        try:
            carries, plans = self.agent.act(
                [row.carry for row in rows], [row.observation for row in rows], [_fresh(row) for row in rows]
            )
            if not len(carries) == len(plans) == len(rows):
                raise ValueError(f"{len(plans)} plans and {len(carries)} carries for {len(rows)} requests")
            checked = [replace(plan, actions=checked_plan(plan.actions, self.actions)) for plan in plans]
            return list(zip(carries, checked, strict=True))
        except RAISED as error:
            if len(rows) == 1:
                return [AgentFailed(error_text(error))]
            return [found for row in rows for found in self._act([row])]


def _fresh(row: Row) -> np.random.Generator:
    """The row's generator, unused: a call may be repeated."""
    made = np.random.default_rng()
    made.bit_generator.state = row.rng.bit_generator.state
    return made
