"""One environment and the commands it obeys, in a process of its own or in this one."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.results import Fault
from playloop.core.segment import Segment
from playloop.envs.base import PlayEnv
from playloop.envs.checks import BadAction, BadOutcome, checked_observation, checked_plan, plain_info
from playloop.envs.config import EnvConfig
from playloop.rollouts.callbacks import Wants

RAISED = (Exception, SystemExit)
"""What other people's code may raise without ending the run: a library's `sys.exit` is an error, too."""


@dataclass(frozen=True)
class Begin:
    """Command: begin an episode; answered by `Begun`."""

    episode: Episode
    wants: Wants
    reads: frozenset[str]


@dataclass(frozen=True)
class Execute:
    """Command: execute a plan; answered by `Executed`. `reads` overrides the episode's from here on."""

    actions: np.ndarray
    info: dict[str, Any]
    reads: frozenset[str] | None = None


@dataclass
class Ready:
    """First answer of a worker: its environment stands."""

    contract: Contract


@dataclass
class Begun:
    """The first observation of an episode."""

    observation: dict[str, Any]
    seconds: dict[str, float]


@dataclass
class Executed:
    """A plan's segment, and what the agent sees next (None after the last segment)."""

    segment: Segment
    observation: dict[str, Any] | None
    seconds: dict[str, float]
    info: dict[str, Any] = field(default_factory=dict)


@dataclass
class Failed:
    """An exception as text. After one of the environment's own it is rebuilt for the next command.

    What is `said` of an environment that could not be built was written for the user, see `is_written`.
    """

    error: str
    details: str
    built: bool
    fault: Fault = "environment"
    said: bool = False


Answer = Ready | Begun | Executed | Failed


class Executor:
    """Obeys commands on one environment, which is built when first needed."""

    def __init__(self, config: EnvConfig):
        self.config = config
        self.env: PlayEnv | None = None

    def start(self) -> Answer:
        """Build the environment."""
        return self._guarded(lambda: Ready(self._built().contract))

    def obey(self, command: Begin | Execute) -> Answer:
        """Execute a command; an exception becomes `Failed`, and a plan that is none is not begun."""
        if isinstance(command, Begin):
            return self._guarded(lambda: self._begin(command))
        return self._guarded(lambda: self._execute(command))

    def close(self) -> None:
        """Close the environment in order, whatever state it is in."""
        env, self.env = self.env, None
        if env is not None:
            with contextlib.suppress(*RAISED):
                env.close()

    def _built(self) -> PlayEnv:
        if self.env is None:
            self.env = self.config.make()
        return self.env

    def _guarded(self, act: Callable[[], Answer]) -> Answer:
        try:
            return act()
        except BadAction as error:
            return Failed(error_text(error), traceback.format_exc(), built=True, fault="agent")
        except RAISED as error:
            built, details = self.env is not None, traceback.format_exc()
            self.close()
            if not built and is_written(error):
                return Failed(str(error), details, built, said=True)
            return Failed(error_text(error), details, built)

    def _begin(self, command: Begin) -> Begun:
        env, seconds = self._built(), Seconds()
        self.wants, self.reads = command.wants, command.reads
        with seconds.of("begin"):
            env.begin(command.episode)
        with seconds.of("observe"):
            self.now = self._seen(env, self.wants.frames or "images" in self.reads)
        return Begun(self._visible(env), dict(seconds))

    def _execute(self, command: Execute) -> Executed:
        env, seconds, rows = self._built(), Seconds(), []
        self.reads = self.reads if command.reads is None else command.reads
        actions = checked_plan(command.actions, len(env.contract.action_names))
        for index, action in enumerate(actions):
            row = self._before(env, action)
            with seconds.of("physics"):
                outcome = env.advance(action)
            rows.append(row | {"rewards": outcome.reward, "success": outcome.success})
            over = outcome.terminated or outcome.truncated
            decision = not over and index == len(actions) - 1 and "images" in self.reads
            with seconds.of("observe"):
                self.now = self._seen(env, self.wants.frames or decision)
            if over:
                break
        segment = _segment(rows, self.now, command.info, over)
        seen, info = None if over else self._visible(env), plain_info(outcome.info)
        return Executed(segment, seen, dict(seconds), info)

    def _before(self, env: PlayEnv, action: np.ndarray) -> dict[str, Any]:
        """What a segment keeps of the moment before an action, by the segment's fields."""
        row = {"actions": action, "states": self.now["state"]}
        if self.wants.frames:
            row["frames"] = self.now["images"]
        if self.wants.trace:
            row |= {"snapshots": env.snapshot(), "privileged": env.privileged()}
        return row

    def _seen(self, env: PlayEnv, images: bool) -> dict[str, Any]:
        return checked_observation(env.observe(images=images), env.contract, images)

    def _visible(self, env: PlayEnv) -> dict[str, Any]:
        """The current observation with what the agent reads and nothing else."""
        visible = {
            name: value for name, value in self.now.items() if name != "images" or "images" in self.reads
        }
        if "privileged" in self.reads:
            visible["privileged"] = env.privileged()
        return visible


def is_written(error: BaseException) -> bool:
    """Whether somebody wrote this message about what is missing, and not the interpreter or the system."""
    missing = isinstance(error, ImportError) and error.name is None
    return missing or (isinstance(error, OSError) and error.errno is None and bool(str(error)))


def error_text(error: BaseException) -> str:
    """An exception in words: its kind, its message and where it was raised; ours say it all."""
    if isinstance(error, BadAction | BadOutcome):
        return str(error)
    trace = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(trace[-1].filename)}:{trace[-1].lineno})" if trace else ""
    return f"{type(error).__name__}{f': {error}' if str(error) else ''}{where}"


class Seconds(dict[str, float]):
    """Sums of seconds under names."""

    def spend(self, **seconds: float) -> None:
        """Add to the sums."""
        for name, value in seconds.items():
            self[name] = self.get(name, 0.0) + value

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        start = time.perf_counter()
        yield
        self.spend(**{name: time.perf_counter() - start})


def _segment(
    rows: list[dict[str, Any]], now: dict[str, Any], plan_info: dict[str, Any], last: bool
) -> Segment:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    pictures = "frames" in columns
    return Segment(
        actions=np.asarray(columns["actions"], np.float32),  # [n, A]
        states=np.asarray(columns["states"], np.float32),  # [n, S]
        rewards=np.asarray(columns["rewards"], np.float64),  # [n]
        success=np.asarray(columns["success"], bool),  # [n]
        instruction=now["instruction"],
        last=last,
        frames=_stacked(columns["frames"]) if pictures else None,
        snapshots=np.stack(columns["snapshots"]) if "snapshots" in columns else None,  # [n, K]
        privileged=_stacked(columns["privileged"]) if "privileged" in columns else None,
        plan_info=plan_info,
        final_frames=now["images"] if pictures and last else None,
    )


def _stacked(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def serve(connection: Connection, config: EnvConfig) -> None:
    """Main function of a worker process: obey until the parent hangs up or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    executor = Executor(config)
    with contextlib.suppress(EOFError, OSError):
        _answer(connection, executor.start())
        while True:
            _answer(connection, executor.obey(connection.recv()))
    executor.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Skips interpreter shutdown: GL objects that are finalised there print tracebacks on the user's screen.
    os._exit(0)


def _answer(connection: Connection, answer: Answer) -> None:
    try:
        connection.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # nothing of it was sent
        connection.send(Failed(error_text(error), traceback.format_exc(), built=True))
