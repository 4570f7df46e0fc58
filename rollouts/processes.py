"""Handles of workers: a spawned process, or the same commands obeyed in this process."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from playloop.core.children import CONTEXT
from playloop.envs.config import EnvConfig
from playloop.rollouts.worker import Answer, Begin, Execute, Executor, serve

GRACE = 3.0
"""Seconds that a worker gets to close its environment in order when this process has been killed."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerDied(Exception):
    """The worker's process ended or stopped answering."""


class ProcessWorker:
    """A spawned process with one environment, built in the child so that its GL context belongs to it.

    It runs `main` on its end of the connection and `config`, which must be picklable. It ends with this
    process in any case, see `core.children`, and within `grace` seconds where this one has been killed.
    """

    def __init__(self, config: Any, main: Callable[[Connection, Any], None] = serve, grace: float = GRACE):
        self.connection, child = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=main, args=(child, config), daemon=True)
        self.process.grace = grace
        with _one_thread_each():
            self.process.start()
        child.close()
        self.last_message = time.monotonic()

    def send(self, command: Any) -> None:
        """Give a command; a dead process is noticed when its answer is read."""
        self.last_message = time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.send(command)

    def receive(self) -> Any:
        """The next answer; `WorkerDied` where the process has ended."""
        try:
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(5)
            cause = _cause(self.process.exitcode)
            raise WorkerDied(f"the environment's process ended with {cause}") from error
        self.last_message = time.monotonic()
        return answer

    def silent_for(self) -> float:
        """Seconds since the last command or answer."""
        return time.monotonic() - self.last_message

    def stop(self, patience: float = 20.0) -> None:
        """Hang up, so that the process closes its environment and ends; after `patience` seconds end it."""
        self.connection.close()
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class LocalWorker:
    """The same commands obeyed in this process: slower with several episodes, but a debugger can follow."""

    def __init__(self, config: EnvConfig):
        self.executor = Executor(config)
        self.answers: list[Answer] = [self.executor.start()]

    def send(self, command: Begin | Execute) -> None:
        """Obey the command at once."""
        self.answers.append(self.executor.obey(command))

    def receive(self) -> Answer:
        """The oldest answer not yet read."""
        return self.answers.pop(0)

    def silent_for(self) -> float:
        return 0.0

    def stop(self, patience: float = 0.0) -> None:
        """Close the environment."""
        self.executor.close()


Worker = ProcessWorker | LocalWorker


def with_answers(workers: Sequence[Worker], timeout: float) -> list[Any]:
    """Those of the workers that have answered; waits up to `timeout` seconds for the first."""
    if local := [worker for worker in workers if isinstance(worker, LocalWorker) and worker.answers]:
        return list(local)
    spawned = [worker for worker in workers if isinstance(worker, ProcessWorker)]
    ready = set(wait([worker.connection for worker in spawned], timeout))
    # In the workers' order, not in the operating system's.
    return [worker for worker in spawned if worker.connection in ready]


def stop_all(workers: Sequence[Worker], patience: float = 20.0) -> None:
    """Stop workers side by side: closing a simulator takes a while."""
    for worker in workers:
        if isinstance(worker, ProcessWorker):
            worker.connection.close()
    deadline = time.monotonic() + patience
    for worker in workers:
        worker.stop(max(0.1, deadline - time.monotonic()))


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children inherit the limit before their NumPy loads; ours is loaded and keeps its threads."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cause(exitcode: int | None) -> str:
    if exitcode is None:
        return "no exit code"
    return f"signal {-exitcode}" if exitcode < 0 else f"exit code {exitcode}"
