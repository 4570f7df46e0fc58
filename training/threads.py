"""How many threads compute on the processor, and how they wait for each other."""

from __future__ import annotations

import os

import torch

from playloop.core.cores import usable_cores

ASKED = "OMP_NUM_THREADS"
"""The variable by which a user, or torchrun, says how many."""


def choose_threads() -> None:
    """As many threads as this process may use cores, unless a number is asked for.

    Nothing else of a training wants a core then: pictures are prepared before, and rows are gathered by a
    thread that is idle nearly always.
    """
    if ASKED not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def keep_threads(threads: int) -> str | None:
    """Go on with as many threads as a run had, for another number rounds sums otherwise; a sentence if so.

    Args:
        threads: of the run; 0 if that is not known.
    """
    if threads in (0, torch.get_num_threads()):
        return None
    if ASKED in os.environ:
        return (
            f"The run had {threads} threads so far and goes on with {ASKED}={os.environ[ASKED]}, with which "
            "sums are rounded otherwise"
        )
    torch.set_num_threads(threads)
    return f"The run goes on with {threads} threads, as it began; with others sums are rounded otherwise"
