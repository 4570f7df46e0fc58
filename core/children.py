"""Child processes that end when their parent ends, however it ends and whatever they are doing.

Each has a guard: a process forked from it at its very start, which waits for the parent's death and then
kills its ward, where that has not ended by itself within its grace. No thread and no signal handler could do
that for a child that hangs in C code and does not give Python a turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, current_process, resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

AGAIN = """\
A class that a process of its own needs is defined in the script itself, so that it runs the script again: put
what the script does under `if __name__ == "__main__":`, or the class into a module of its own."""
NOWHERE = (
    "a class that a process of its own needs is defined in this notebook or prompt, where that process "
    "cannot find it: put the class into a file beside it and import it, or give workers=0"
)
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
        """See `multiprocessing.Process.start`.

        The script that this process runs is run again in the child only if the child is to have a class of
        it: otherwise a script needs no `if __name__ == "__main__"`.

        Raises:
            ValueError: such a class is of a notebook or prompt, where no child could find it, or the script
                would do everything once more in the child.
        """
        if getattr(current_process(), "_inheriting", False):
            sys.exit(AGAIN)
        resource_tracker.ensure_running()  # starting it lets Ctrl-C through again
        with _deaf_to_interrupts(), _script_kept_back(self._args):  # type: ignore[attr-defined]
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
def _script_kept_back(arguments: Any) -> Iterator[None]:
    """Hide the script that this process runs from a child that starts meanwhile, unless it needs it."""
    main: Any = sys.modules["__main__"]
    if _names_script(arguments):
        if (
            not os.path.exists(getattr(main, "__file__", None) or "")
            and getattr(main, "__spec__", None) is None
        ):
            raise ValueError(NOWHERE)
        if _unguarded(main):
            raise ValueError(AGAIN)
        yield
        return
    hidden = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


def _unguarded(main: Any) -> bool:
    """Whether the script surely does everything again where it is imported: it never asks for its name."""
    try:
        with open(main.__file__, encoding="utf-8", errors="replace") as script:
            return "__main__" not in script.read()
    except (AttributeError, OSError):
        return False


def _names_script(arguments: Any) -> bool:
    """Whether anything of the script itself is among a process's arguments."""
    pickled = io.BytesIO()
    try:
        _WithoutChannels(pickled).dump(arguments)
    except Exception:  # said where the process is started
        return True
    return b"__main__" in pickled.getvalue()


class _WithoutChannels(pickle.Pickler):
    """Leaves out pipes and queues, which only a process that is started may have."""

    def persistent_id(self, value: Any) -> str | None:
        home = type(value).__module__.partition(".")[0]
        return "channel" if home in ("multiprocessing", "_multiprocessing", "concurrent") else None


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Children inherit it, so that Ctrl-C while they start does not make them print tracebacks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
