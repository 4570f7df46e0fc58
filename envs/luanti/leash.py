"""Runs a program that must not outlive its parent: python leash.py PARENT_PID GRACE FOLDER COMMAND…

The program ends when the parent ends, however that happens (kill -9 too), or when this process is stopped;
it gets GRACE seconds to do so by itself. FOLDER is removed afterwards; an empty name removes nothing.
Imports nothing but the standard library: it starts in milliseconds and is run as a file.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
LOOK_EVERY = 0.2
"""Seconds between two looks at whether the parent is still there."""


def main(parent: int, grace: float, folder: str, command: list[str]) -> int:
    """Run the command to its end or the parent's; returns the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    child = subprocess.Popen(command, preexec_fn=_die_with_parent)
    try:
        while os.getppid() == parent:
            try:
                return child.wait(timeout=LOOK_EVERY)
            except subprocess.TimeoutExpired:
                pass
        return 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(child, grace)
        if folder:
            _remove(folder)


def _die_with_parent() -> None:
    # this process has one thread, so "parent" cannot mean a thread that ends early
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(child: subprocess.Popen, grace: float) -> None:
    child.terminate() if grace else child.kill()
    try:
        child.wait(grace or None)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _remove(folder: str) -> None:
    for _ in range(20):  # a program that is ending may still write into it
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
