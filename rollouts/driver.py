"""The loop: environments in processes of their own, one agent that decides for all that wait."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from playloop.agents.base import Agent, ConnectionLost, Plan, ServerFault, ServerGone
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.provenance import name_of
from playloop.core.results import EpisodeResult, Fault
from playloop.core.words import Sentence
from playloop.envs.checks import BadAction, checked_plan
from playloop.envs.config import EnvConfig
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.processes import LocalWorker, ProcessWorker, Worker, WorkerDied, stop_all, with_answers
from playloop.rollouts.selection import by_task
from playloop.rollouts.worker import (
    RAISED,
    Answer,
    Begin,
    Begun,
    Execute,
    Executed,
    Failed,
    Ready,
    Seconds,
    error_text,
)

ATTEMPTS = 2
"""How often an episode is tried before it is recorded as an error."""
STEP_TIMEOUT = 600.0
"""Seconds that an environment may take to answer: to be built, to begin an episode, to execute a plan."""


@dataclass(eq=False)
class _Slot:
    """A worker, what it runs and whether it waits for a decision."""

    worker: Worker
    busy: bool = False
    result: EpisodeResult = field(init=False)
    carry: Any = None
    started: float = 0.0
    seconds: Seconds = field(default_factory=Seconds)
    observation: dict[str, Any] | None = None
    held: tuple[str, int] | None = None
    ready: bool = False
    finished: int = 0


class Pending:
    """Episodes that wait for a worker. Workers keep to their task: building another scene takes seconds.

    The choice changes how long a run takes and nothing else: an episode follows from its identity.
    """

    def __init__(self, episodes: Iterable[Episode]):
        self._tasks = by_task(episodes)

    def __len__(self) -> int:
        return sum(map(len, self._tasks.values()))

    def take(self, held: tuple[str, int] | None, others: Iterable[tuple[str, int] | None]) -> Episode | None:
        """The next episode for a worker that holds the task `held` while the others hold `others`."""
        if not self._tasks:
            return None
        free = [task for task in self._tasks if task not in set(others)]
        if held in self._tasks:
            task = held
        elif free:
            task = free[0]
        else:
            task = max(self._tasks, key=lambda task: len(self._tasks[task]))
        episode = self._tasks[task].pop(0)
        if not self._tasks[task]:
            del self._tasks[task]
        return episode


@dataclass
class Driver:
    """Runs episodes: gathers the environments that wait, asks the agent once for all, sends the plans.

    Results do not depend on the number of workers, on order or on timing: an environment follows from the
    episode's identity, a decision from the episode and its number in it.

    An exception of the agent, or a plan that is none, is the error of its episode, as one of the environment
    is; the run goes on. Neither is a failure at the task. The agent acts in this process: one that never
    returns is waited for, since nothing could end it and spare the run, and one that calls `os._exit` ends
    the run. What is on disk by then stays, and a repeated command goes on from there.

    Args:
        env: settings from which every worker builds its own environment; must be picklable.
        workers: processes; 0 runs the environment in this process, for a debugger.
        callbacks: everything else: records, progress, videos.
        step_timeout: seconds without an answer after which a worker counts as dead.
        recycle_after: episodes after which a worker's process is replaced, because simulators leak memory.
    """

    env: EnvConfig
    workers: int = 2
    callbacks: Sequence[Callback] = ()
    step_timeout: float = STEP_TIMEOUT
    recycle_after: int = 200

    def __post_init__(self) -> None:
        if self.workers < 0 or self.recycle_after < 1 or not self.step_timeout > 0:
            raise ValueError("workers must be 0 or more, recycle_after at least 1 and step_timeout positive")

    def run(self, agent: Agent, episodes: Sequence[Episode], done: int = 0) -> list[EpisodeResult]:
        """Run episodes to their end, in the order given as far as the workers' tasks allow.

        Args:
            agent: who acts; its `prepare` is called before any environment is built.
            episodes: distinct identities; there is a result for each, in this order.
            done: episodes of the same request that an earlier run finished; for progress only.

        Raises:
            RuntimeError: the environment cannot be built.
            ValueError: the agent or the environment's declaration does not fit the environment.
        """
        if len(set(episodes)) != len(episodes):
            raise ValueError("an episode is named twice; name every identity once")
        contract = self.env.contract()
        agent.prepare(contract)
        with contextlib.ExitStack() as stack:
            for callback in self.callbacks:
                stack.callback(callback.on_close)
                callback.on_start(len(episodes) + done, done)
            rollout = _Rollout(self, agent, contract, Pending(episodes))
            stack.callback(rollout.close)
            rollout.run(min(max(self.workers, 1), len(episodes)))
        return [rollout.results[episode] for episode in episodes]


class _Rollout:
    """One `Driver.run` in progress."""

    def __init__(self, driver: Driver, agent: Agent, contract: Contract, pending: Pending):
        self.driver, self.agent, self.contract, self.pending = driver, agent, contract, pending
        self.name = name_of(agent)
        self.results: dict[Episode, EpisodeResult] = {}
        self.slots: list[_Slot] = []
        self.ever_ready = False
        self.stillborn = 0

    def run(self, workers: int) -> None:
        for _ in range(workers):
            self.slots.append(_Slot(self._hire()))
        for slot in self.slots:
            self._assign(slot)
        while any(slot.busy for slot in self.slots):
            self._decide()
            self._listen()

    def close(self) -> None:
        stop_all([slot.worker for slot in self.slots])

    def _hire(self) -> Worker:
        return ProcessWorker(self.driver.env) if self.driver.workers else LocalWorker(self.driver.env)

    def _assign(self, slot: _Slot) -> None:
        """Give the slot its next episode, if there is one."""
        others = [other.held for other in self.slots if other is not slot and other.busy]
        if (episode := self.pending.take(slot.held, others)) is not None:
            self._begin(slot, episode)

    def _begin(self, slot: _Slot, episode: Episode, attempts: int = 1) -> None:
        slot.result = EpisodeResult(episode, False, steps=0, return_=0.0, attempts=attempts, agent=self.name)
        slot.busy, slot.carry, slot.held = True, None, (episode.suite, episode.task)
        slot.started, slot.seconds = time.perf_counter(), Seconds()
        wants = Wants.union(callback.wants(episode) for callback in self.driver.callbacks)
        slot.worker.send(Begin(episode, wants, frozenset(self.agent.reads)))

    def _decide(self) -> None:
        """Ask the agent for everyone who waits, at most `rows` in a call."""
        waiting = [slot for slot in self.slots if slot.observation is not None]
        for start in range(0, len(waiting), self.agent.rows):
            self._decide_for(waiting[start : start + self.agent.rows])

    def _decide_for(self, slots: list[_Slot]) -> None:
        """Decide for these slots; where that goes wrong, row by row, which is the same to every row."""
        start = time.perf_counter()
        try:
            decisions = self._plans(slots)
        except RAISED as error:
            if len(slots) == 1:
                return self._give_up(slots[0], error_text(error), "agent")
            for slot in slots:
                self._decide_for([slot])
            return
        share = (time.perf_counter() - start) / len(slots)
        for slot, (carry, plan) in zip(slots, decisions, strict=True):
            self._carry_out(slot, carry, plan, share)

    def _plans(self, slots: list[_Slot]) -> list[tuple[Any, Plan]]:
        """The agent's carries and plans, one a slot, checked; raises whatever the agent does."""
        observations = [slot.observation for slot in slots if slot.observation]
        rngs = [slot.result.episode.rng("decision", slot.result.decisions) for slot in slots]
        carries, plans = self.agent.act([slot.carry for slot in slots], observations, rngs)
        size = len(self.contract.action_names)
        checked = [_checked(plan, size) for plan in plans]
        if not len(carries) == len(checked) == len(slots):
            raise ValueError(f"{len(checked)} plans and {len(carries)} carries for {len(slots)} episodes")
        return list(zip(carries, checked, strict=True))

    def _carry_out(self, slot: _Slot, carry: Any, plan: Plan, seconds: float) -> None:
        slot.carry, slot.observation = carry, None
        slot.result.decisions += 1
        slot.seconds.spend(agent=seconds)
        if plan.error is not None:
            return self._undecided(slot, plan.error)
        try:
            slot.worker.send(Execute(plan.actions, plan.info, plan.reads))
        except Exception as error:  # its info cannot be pickled
            self._give_up(slot, error_text(error), "agent")

    def _undecided(self, slot: _Slot, error: Exception) -> None:
        """A row that has no plan: its episode begins anew, is an error, or the run ends."""
        if isinstance(error, ServerGone):
            raise error
        if isinstance(error, ConnectionLost):
            return self._again(slot, str(error), "server")
        if isinstance(error, ServerFault):
            return self._give_up(slot, str(error), "server")
        self._give_up(slot, error_text(error), "agent")

    def _listen(self) -> None:
        """Take in what workers answer; replace those that are dead or silent for too long."""
        busy = [slot for slot in self.slots if slot.busy and slot.observation is None]
        answered = with_answers([slot.worker for slot in busy], timeout=1.0)
        for slot in busy:
            if slot.worker in answered:
                try:
                    answer = slot.worker.receive()
                except WorkerDied as death:
                    self._replace(slot, str(death))
                except Exception as error:  # of a type that this process cannot read
                    self._failed(slot, Failed(error_text(error), "", built=True))
                else:
                    self._handle(slot, answer)
            elif slot.worker.silent_for() > self.driver.step_timeout:
                self._replace(slot, f"the environment did not answer for {self.driver.step_timeout:g} s")

    def _handle(self, slot: _Slot, answer: Answer) -> None:
        if isinstance(answer, Ready):
            self._welcome(slot, answer.contract)
        elif isinstance(answer, Begun):
            self._begun(slot, answer)
        elif isinstance(answer, Executed):
            self._executed(slot, answer)
        else:
            self._failed(slot, answer)

    def _welcome(self, slot: _Slot, contract: Contract) -> None:
        slot.ready = self.ever_ready = True
        if contract != self.contract:
            raise ValueError(
                f"the environment that was built differs from its settings' contract(): {contract} "
                f"against {self.contract}; make both come from one source"
            )

    def _begun(self, slot: _Slot, answer: Begun) -> None:
        slot.seconds.spend(**answer.seconds)
        try:
            slot.carry = self.agent.begin(slot.result.episode)
        except RAISED as error:
            return self._give_up(slot, error_text(error), "agent")
        slot.observation = answer.observation
        for callback in self.driver.callbacks:
            callback.on_begin(slot.result.episode)

    def _executed(self, slot: _Slot, answer: Executed) -> None:
        result, segment = slot.result, answer.segment
        result.steps += len(segment)
        result.return_ += float(segment.rewards.sum())
        result.success = result.success or bool(segment.success.any())
        result.info = answer.info
        slot.seconds.spend(**answer.seconds)
        slot.observation = answer.observation
        if not math.isfinite(result.return_):
            return self._again(slot, "the sum of the rewards is not finite")
        for callback in self.driver.callbacks:
            callback.on_segment(result.episode, segment)
        if segment.last:
            self._end(slot, result)

    def _failed(self, slot: _Slot, answer: Failed) -> None:
        if not answer.built and not self.ever_ready:
            kind = Sentence if answer.said else RuntimeError
            unbuilt = kind(f"the environment cannot be built: {answer.error}")
            unbuilt.add_note(answer.details)  # for --debug; the message is one sentence
            raise unbuilt
        if not slot.ready:  # building is tried again by the command that is already on its way
            slot.ready = True
        elif answer.fault == "agent":
            self._give_up(slot, answer.error, "agent")
        else:
            self._again(slot, answer.error)

    def _replace(self, slot: _Slot, reason: str) -> None:
        """A fresh process instead of a dead one."""
        self.stillborn += not self.ever_ready
        if self.stillborn >= ATTEMPTS:
            raise RuntimeError(f"{reason} before the environment was built; run `playloop doctor`")
        slot.worker.stop(patience=0.0)
        slot.worker, slot.ready = self._hire(), False
        self._again(slot, reason)

    def _again(self, slot: _Slot, reason: str, fault: Fault = "environment") -> None:
        """Repeat the slot's episode, or give it up."""
        slot.observation = None
        if slot.result.attempts < ATTEMPTS:
            self._begin(slot, slot.result.episode, slot.result.attempts + 1)
        else:
            self._give_up(slot, reason, fault)

    def _give_up(self, slot: _Slot, reason: str, fault: Fault) -> None:
        """End the slot's episode as an error; an agent's is the same at every attempt."""
        result = slot.result
        result.error, result.fault, result.success = reason, fault, False
        result.return_ = result.return_ if math.isfinite(result.return_) else 0.0
        self._end(slot, result)

    def _end(self, slot: _Slot, result: EpisodeResult) -> None:
        result.seconds = {**slot.seconds, "wall": time.perf_counter() - slot.started}
        slot.busy, slot.observation = False, None
        self.results[result.episode] = result
        for callback in self.driver.callbacks:
            callback.on_end(result)
        slot.finished += 1
        if slot.finished % self.driver.recycle_after == 0 and self.pending:
            slot.worker.stop()
            slot.worker, slot.ready = self._hire(), False
        self._assign(slot)


def _checked(plan: Any, size: int) -> Plan:
    if not isinstance(plan, Plan):
        raise BadAction(f"what an agent decides must be a Plan, got {type(plan).__name__}")
    if plan.error is not None:
        return plan
    return replace(plan, actions=checked_plan(plan.actions, size))
