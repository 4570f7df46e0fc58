"""`playloop serve` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys


@contextlib.contextmanager
def served(*words, cwd=None):
    """Its address without the scheme, and the process, which ends in order when it gets SIGTERM."""
    command = [sys.executable, "-m", "playloop.cli.main", "serve", *words, "port=0"]
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *sys.path]))
    settings = {
        "stdout": subprocess.PIPE,
        "text": True,
        "cwd": cwd,
        "env": {**os.environ, "PYTHONPATH": path},
    }
    with subprocess.Popen(command, **settings) as process:
        said = ""
        while "Serving" not in said and process.poll() is None:
            said += process.stdout.readline()
        groot = re.search(r"tcp://(\S+)", said)
        process.groot = groot and groot[1]  # the address of GR00T's protocol, where it is spoken
        try:
            yield re.search(r"ws://(\S+)", said)[1], process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0
