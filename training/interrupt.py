"""Ctrl-C while a run trains: the present step is finished and its state stored."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAME = 1.0
"""Seconds within which a second signal is the same Ctrl-C, which torchrun passes on."""
ONCE = b"\nCtrl-C: the run stops after this step and stores its state; once more stops it at once.\n"


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Inside the block the first Ctrl-C sets the event that is given; a second one interrupts at once."""
    event, first = threading.Event(), 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not event.is_set():
            event.set()
            first = time.monotonic()
            os.write(2, ONCE)  # print may be interrupted in itself
        elif time.monotonic() > first + SAME:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield event
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
