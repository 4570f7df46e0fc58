"""Words in messages: the known one that a misspelled one is near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean "…"?)` with the most similar known word, or all of them where none is similar."""
    known = list(known)
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.55)
    if found:
        return f' (did you mean "{found[0]}"?)'
    return f" (there are: {', '.join(known)})" if len(known) <= 12 else ""
