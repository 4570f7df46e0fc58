"""The loop: environments in processes of their own, one agent that decides for all that wait."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from playloop.agents.base import Agent
from playloop.envs.contract import Contract
from playloop.envs.episode import Episode
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.pending import Pending
from playloop.rollouts.processes import LocalWorker, ProcessWorker, Worker, WorkerDied, stop_all, with_answers
from playloop.rollouts.record import EpisodeResult
from playloop.rollouts.worker import Answer, Begin, Begun, EnvConfig, Execute, Executed, Failed, Ready

ATTEMPTS = 2
"""How often an episode is tried before it is recorded as an error."""


@dataclass
class _Run:
    """An episode in progress."""

    result: EpisodeResult
    carry: Any
    started: float
    seconds: dict[str, float] = field(default_factory=dict)

    def spend(self, seconds: dict[str, float]) -> None:
        for name, value in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value


@dataclass(eq=False)
class _Slot:
    """A place for a worker: what it runs and whether it waits for a decision."""

    worker: Worker
    run: _Run | None = None
    observation: dict[str, Any] | None = None
    held: tuple[str, int] | None = None
    ready: bool = False
    finished: int = 0


class Driver:
    """Runs episodes: gathers the environments that wait, asks the agent once for all, sends the plans.

    Results do not depend on the number of workers, on order or on timing: an environment follows from the
    episode's identity, a decision from the episode and its number in it.

    Args:
        env: settings from which every worker builds its own environment; must be picklable.
        workers: processes; 0 runs the environment in this process, for a debugger.
        callbacks: everything else: records, progress, videos.
        step_timeout: seconds without an answer after which a worker counts as dead.
        recycle_after: episodes after which a worker's process is replaced, because simulators leak memory.
    """

    def __init__(
        self,
        env: EnvConfig,
        workers: int = 2,
        callbacks: Sequence[Callback] = (),
        step_timeout: float = 600.0,
        recycle_after: int = 200,
    ):
        if workers < 0 or recycle_after < 1 or step_timeout <= 0:
            raise ValueError("workers must be 0 or more, recycle_after at least 1 and step_timeout positive")
        self.env = env
        self.workers = workers
        self.callbacks = list(callbacks)
        self.step_timeout = step_timeout
        self.recycle_after = recycle_after

    def run(self, agent: Agent, episodes: Sequence[Episode], done: int = 0) -> list[EpisodeResult]:
        """Run episodes to their end, in the order given as far as the workers' tasks allow.

        Args:
            agent: who acts; its `prepare` is called before any environment is built.
            episodes: distinct identities.
            done: episodes of the same request that an earlier run finished; for progress only.

        Returns:
            One result an episode, in the order given.

        Raises:
            RuntimeError: the environment cannot be built.
            ValueError: the agent or the environment's declaration does not fit the environment.
        """
        if len(set(episodes)) != len(episodes):
            raise ValueError("an episode is asked for twice; ask for every identity once")
        declared = getattr(self.env, "contract", None)
        contract = declared() if declared else None
        if contract is not None:
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

    def __init__(self, driver: Driver, agent: Agent, contract: Contract | None, pending: Pending):
        self.driver, self.agent, self.contract, self.pending = driver, agent, contract, pending
        self.prepared = contract is not None
        self.results: dict[Episode, EpisodeResult] = {}
        self.slots: list[_Slot] = []
        self.ever_ready = False
        self.stillborn = 0

    def run(self, workers: int) -> None:
        for _ in range(workers):
            self.slots.append(_Slot(self._hire()))
        for slot in self.slots:
            self._assign(slot)
        while any(slot.run for slot in self.slots):
            self._decide()
            self._listen()

    def close(self) -> None:
        stop_all([slot.worker for slot in self.slots])

    def _hire(self) -> Worker:
        kind = ProcessWorker if self.driver.workers else LocalWorker
        return kind(self.driver.env)

    def _assign(self, slot: _Slot) -> None:
        """Give the slot its next episode, if there is one."""
        others = [other.held for other in self.slots if other is not slot and other.run]
        episode = self.pending.take(slot.held, others)
        if episode is not None:
            self._begin(slot, EpisodeResult(episode, success=False, steps=0, return_=0.0))

    def _begin(self, slot: _Slot, result: EpisodeResult) -> None:
        episode = result.episode
        slot.run = _Run(result, carry=None, started=time.perf_counter())
        slot.held = (episode.suite, episode.task)
        wants = Wants.union(callback.wants(episode) for callback in self.driver.callbacks)
        slot.worker.send(Begin(episode, wants, frozenset(self.agent.reads)))

    def _decide(self) -> None:
        """Ask the agent for everyone who waits, at most `rows` in a call."""
        waiting = [slot for slot in self.slots if slot.observation is not None]
        for start in range(0, len(waiting), self.agent.rows):
            self._decide_for(waiting[start : start + self.agent.rows])

    def _decide_for(self, slots: list[_Slot]) -> None:
        runs = [slot.run for slot in slots if slot.run]
        observations = [slot.observation for slot in slots if slot.observation]
        rngs = [run.result.episode.rng("decision", run.result.decisions) for run in runs]
        start = time.perf_counter()
        carries, plans = self.agent.act([run.carry for run in runs], observations, rngs)
        share = (time.perf_counter() - start) / len(slots)
        for slot, run, carry, plan in zip(slots, runs, carries, plans, strict=True):
            if len(plan.actions) == 0:
                raise ValueError(f"{type(self.agent).__name__} planned no action; a plan has at least one")
            run.carry = carry
            run.result.decisions += 1
            run.spend({"agent": share})
            slot.observation = None
            slot.worker.send(Execute(plan.actions, plan.info, plan.reads))

    def _listen(self) -> None:
        """Take in what workers answer; replace those that are dead or silent for too long."""
        busy = [slot for slot in self.slots if slot.run and slot.observation is None]
        answered = with_answers([slot.worker for slot in busy], timeout=1.0)
        for slot in busy:
            if slot.worker in answered:
                try:
                    self._handle(slot, slot.worker.receive())
                except WorkerDied as death:
                    self._replace(slot, str(death))
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
        if self.contract is not None and contract != self.contract:
            raise ValueError(
                f"the environment that was built differs from its settings' contract(): {contract} "
                f"against {self.contract}; make both come from one place"
            )
        self.contract = contract
        if not self.prepared:
            self.agent.prepare(contract)
            self.prepared = True

    def _begun(self, slot: _Slot, answer: Begun) -> None:
        assert slot.run is not None
        slot.observation = answer.observation
        slot.run.spend(answer.seconds)
        slot.run.carry = self.agent.begin(slot.run.result.episode)
        for callback in self.driver.callbacks:
            callback.on_begin(slot.run.result.episode)

    def _executed(self, slot: _Slot, answer: Executed) -> None:
        assert slot.run is not None
        result, segment = slot.run.result, answer.segment
        result.steps += len(segment)
        result.return_ += float(segment.rewards.sum())
        result.success = result.success or bool(segment.success.any())
        result.info = answer.info
        slot.run.spend(answer.seconds)
        slot.observation = answer.observation
        for callback in self.driver.callbacks:
            callback.on_segment(result.episode, segment)
        if segment.last:
            self._end(slot, result)

    def _failed(self, slot: _Slot, answer: Failed) -> None:
        if not answer.built and not self.ever_ready:
            raise RuntimeError(f"the environment cannot be built: {answer.error}\n{answer.details}")
        if not slot.ready:  # building is tried again by the command that is already on its way
            slot.ready = True
            return
        self._again(slot, answer.error)

    def _replace(self, slot: _Slot, reason: str) -> None:
        """A fresh process instead of a dead one."""
        self.stillborn += not self.ever_ready
        if self.stillborn >= ATTEMPTS:
            raise RuntimeError(f"{reason} before the environment was built; run `playloop doctor`")
        slot.worker.stop(patience=0.0)
        slot.worker, slot.ready = self._hire(), False
        self._again(slot, reason)

    def _again(self, slot: _Slot, reason: str) -> None:
        """Repeat the slot's episode, or give it up."""
        assert slot.run is not None
        result, slot.observation = slot.run.result, None
        if result.attempts < ATTEMPTS:
            fresh = EpisodeResult(result.episode, False, 0, 0.0, attempts=result.attempts + 1)
            self._begin(slot, fresh)
            return
        result.error, result.success = reason, False
        self._end(slot, result)

    def _end(self, slot: _Slot, result: EpisodeResult) -> None:
        assert slot.run is not None
        result.seconds = {**slot.run.seconds, "wall": time.perf_counter() - slot.run.started}
        slot.run, slot.observation = None, None
        self.results[result.episode] = result
        for callback in self.driver.callbacks:
            callback.on_end(result)
        slot.finished += 1
        if slot.finished % self.driver.recycle_after == 0 and self.pending:
            slot.worker.stop()
            slot.worker, slot.ready = self._hire(), False
        self._assign(slot)
