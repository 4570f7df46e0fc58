"""Words in messages, and how they reach the terminal."""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Iterable


class Sentence(RuntimeError):
    """What went wrong in a sentence that says all that a user needs; others may hide a fault of the code."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean "…"?)` with the most similar known word, or all of them where none is similar."""
    known = list(known)
    if not known:
        return ""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.55)
    if found:
        return f' (did you mean "{found[0]}"?)'
    return f" (there are: {', '.join(known)})" if len(known) <= 12 else ""


def speak_any_language() -> None:
    """Escape letters that the terminal's encoding lacks: a path in a message is no reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
