"""Compiled loops where numba is installed; whoever calls has a numpy path of the same results."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from playloop.core.caches import compiled

COMPILED = importlib.util.find_spec("numba") is not None
"""Whether `compile_loop` compiles; otherwise the numpy paths serve."""


def compile_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba, kept on disk; no reordering of floating-point sums, so results are IEEE's."""
    return compiled(function) if COMPILED else function
