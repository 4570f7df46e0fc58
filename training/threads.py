"""How many threads compute on the processor, and how they wait for each other."""

from __future__ import annotations

import os

import torch

from playloop.core.cores import usable_cores

COUNT = "OMP_NUM_THREADS"
"""The variable by which a user, or torchrun, says how many."""


def choose_threads() -> str | None:
    """As many threads as this process may use cores, unless the user set a number; a sentence if it is slow.

    Nothing else of a training wants a core then: pictures are prepared before, and rows are gathered by a
    thread that is idle nearly always. What other processes want does not change the number, or the same run
    would end with other bits at another time.
    """
    if COUNT in os.environ:
        return None
    cores, load = usable_cores(), os.getloadavg()[0]
    torch.set_num_threads(min(torch.get_num_threads(), cores))
    if torch.get_num_threads() == 1 or load < cores:
        return None
    return (
        f"Other processes want the {cores} cores, too (load {load:.0f}): {COUNT}=1 may be faster; it rounds "
        "sums otherwise"
    )


def keep_threads(threads: int) -> str | None:
    """Go on with as many threads as a run had, for another number rounds sums otherwise; a sentence if so.

    Args:
        threads: of the run; 0 if that is not known.
    """
    if threads in (0, torch.get_num_threads()):
        return None
    if COUNT in os.environ:
        return (
            f"The run had {threads} threads so far and goes on with {COUNT}={os.environ[COUNT]}, with which "
            "sums are rounded otherwise"
        )
    torch.set_num_threads(threads)
    return f"The run goes on with {threads} threads, as it began; with others sums are rounded otherwise"
