"""What is said on the terminal."""

from __future__ import annotations

import io
import sys


def speak_any_language() -> None:
    """Escape letters that the terminal's encoding lacks: a path in a message is no reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
