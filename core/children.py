"""Child processes that end when their parent ends, however it ends and whatever they are doing.

Each has a guard: a process forked from it at its very start, which waits for the parent's death and then
kills its ward, where that has not ended by itself within its grace. No thread and no signal handler could do
that for a child that hangs in C code and does not give Python a turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

LOOK_EVERY = 0.2
"""Seconds between two looks of a guard where the system does not tell it of a death."""
PR_SET_PDEATHSIG = 1


class Child(SpawnProcess):
    """A spawned process that does not outlive this one, not while it still starts either.

    Ctrl-C at the terminal does not reach it: the parent decides what that means.

    Attributes:
        grace: seconds that it gets to end by itself after its parent's death; set it before `start`.
    """

    grace = 0.0

    def start(self) -> None:
        """See `multiprocessing.Process.start`."""
        resource_tracker.ensure_running()  # starting it lets Ctrl-C through again
        with _deaf_to_interrupts():
            super().start()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # Unpickling is the first that a spawned process does: before it imports what it is to run.
        return _arrive, (type(self), os.getpid(), self.grace), dict(self.__dict__)


class ChildContext(SpawnContext):
    """Everything of `multiprocessing` with processes that end with this one."""

    Process = Child


CONTEXT = ChildContext()
"""For `Process`, `Pipe`, `ProcessPoolExecutor(mp_context=…)`, `DataLoader(multiprocessing_context=…)`."""


@contextlib.contextmanager
def pool_of_children(
    processes: int, initializer: Callable[..., object] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool; its work, begun or not, is dropped when the block ends by an exception or Ctrl-C."""
    others = set(active_children())
    pool = ProcessPoolExecutor(processes, CONTEXT, initializer, arguments)
    try:
        yield pool
    except BaseException:
        for child in set(active_children()) - others:
            child.kill()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def end_with_parent(parent: int | None = None, grace: float = 0.0) -> None:
    """Let this process end when its parent ends; `Child` calls it, other kinds of children may.

    Args:
        parent: its process id, where the caller knows it; a child whose parent is gone already ends at once.
        grace: seconds that this process then gets to end by itself.
    """
    parent = os.getppid() if parent is None else parent
    news = _death_notice(parent)
    if os.getppid() != parent:
        os._exit(1)
    ward = os.getpid()
    if os.fork() == 0:
        try:
            _guard(ward, parent, news, grace)
        finally:
            os._exit(0)
    if news is not None:
        os.close(news)


def _arrive(kind: type[Child], parent: int, grace: float) -> Child:
    end_with_parent(parent, grace)
    return kind.__new__(kind)


def _guard(ward: int, parent: int, news: int | None, grace: float) -> None:
    """Wait until the parent is dead, then until the grace is over, then kill; ends with the ward."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # sent to the whole group
        signal.signal(number, signal.SIG_IGN)
    _hold_nothing(news)
    _end_at_once_with_parent()
    while os.getppid() == ward and not _dead(parent, None if news is None else 0):
        pass
    deadline = time.monotonic() + grace
    while os.getppid() == ward and time.monotonic() < deadline:
        time.sleep(min(LOOK_EVERY, max(deadline - time.monotonic(), 0.0)))
    if os.getppid() == ward:
        os.kill(ward, signal.SIGKILL)


def _hold_nothing(news: int | None) -> None:
    """Close what was inherited: an end of a pipe held here would keep the other side waiting."""
    os.dup2(os.open(os.devnull, os.O_RDONLY) if news is None else news, 0)
    try:
        held = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # not Linux
        held = list(range(min(os.sysconf("SC_OPEN_MAX"), 1 << 16)))
    for number in held:  # the limit itself may be a thousand million: too many to try
        if number > 0:
            with contextlib.suppress(OSError):
                os.close(number)


def _death_notice(parent: int) -> int | None:
    """A file that can be read once the process has ended, also before anybody reaps it; None without such."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(parent)
    except ProcessLookupError:
        os._exit(1)
    except OSError:  # an old kernel, a sandbox
        return None


def _dead(parent: int, news: int | None) -> bool:
    """Whether the parent has ended; waits a moment for it."""
    if news is not None:
        return bool(select.select([news], [], [], 10 * LOOK_EVERY)[0])
    time.sleep(LOOK_EVERY)
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _end_at_once_with_parent() -> None:
    """Linux ends this process with its parent's thread; elsewhere it notices within a moment."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Children inherit it, so that Ctrl-C while they start does not make them print tracebacks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
