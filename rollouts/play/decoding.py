"""Decode what a page has sent in a process of its own: whatever a file does to a decoder, play goes on."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.children import CONTEXT
from playloop.rollouts.play.uploads import read_upload

SECONDS = 15
"""Processor time for a file; by the clock it may take twice as long."""
MEMORY = 2 << 30
"""Bytes of address space."""
ANSWER = 4096
"""Bytes of what the process has to say."""


def decode_apart(path: Path, rate: float, target: Path) -> str | None:
    """Decode an upload under limits of time and memory; see `read_upload`.

    Args:
        path: the file.
        rate: ticks a second of what goes on from it.
        target: where its frames go, for `load_frames`.

    Returns:
        What its sender should know about it, if there is anything.

    Raises:
        ValueError: it is of no use; says why.
    """
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_decode, args=(theirs, path, rate, target), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(2 * SECONDS):
            raise ValueError(f"the file takes longer than {2 * SECONDS} s to decode; send less of it.")
        answer = json.loads(ours.recv_bytes(ANSWER))  # no pickle: a file may have taken the process over
    except (EOFError, OSError):
        process.join(1)
        slow = process.exitcode == -signal.SIGXCPU
        why = f"takes longer than {SECONDS} s to decode; send less of it" if slow else "breaks its decoder"
        raise ValueError(f"the file {why}.") from None
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
    if "error" in answer:
        raise ValueError(str(answer["error"]))
    return answer["note"]


def load_frames(path: Path) -> np.ndarray:
    """What `decode_apart` has left, uint8 [T, H, W, 3]."""
    return np.load(path, allow_pickle=False)


def _decode(connection: Connection, path: Path, rate: float, target: Path) -> None:
    """Main function of the process."""
    os.nice(5)  # play comes first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders complain there
    answer: dict[str, Any]
    try:
        found = read_upload(path, rate)
        with target.open("wb") as file:
            np.save(file, found.frames)
        answer = {"note": found.note}
    except MemoryError:
        answer = {"error": "the file takes more memory than there is for it; send less of it."}
    except ValueError as error:
        answer = {"error": str(error)[:500]}
    connection.send_bytes(json.dumps(answer).encode())
    os._exit(0)
