"""Ctrl-C while a run trains: the present step is finished and its state stored."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ONCE = b"\nCtrl-C: the run stops after this step and stores its state; once more stops it at once.\n"


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Inside the block the first Ctrl-C sets the event that is given; a second one interrupts at once."""
    event = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        os.write(2, ONCE)  # print may be interrupted in itself

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield event
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
