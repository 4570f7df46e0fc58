"""The processes that train one model, started by torchrun: gradients averaged, their threads, Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from playloop.core.cores import usable_cores

Made = TypeVar("Made")

PATIENCE = timedelta(hours=12)
"""How long processes wait for each other. The first one prepares pictures and exports alone, which takes more
than half an hour for 7B weights and hours for much data; NCCL by itself gives up after ten minutes."""
COUNT = "OMP_NUM_THREADS"
"""The variable by which a user, or torchrun, says how many threads compute on the processor."""
SAME = 1.0
"""Seconds within which a second signal is the same Ctrl-C, which torchrun passes on."""
ONCE = b"\nCtrl-C: the run stops after this step and stores its state; once more stops it at once.\n"


class StoppedWithFirst(RuntimeError):
    """In all processes but the first, when that one fails in what it does for all: says what it said."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together, and which of them this one is.

    Args:
        rank: its number; 0 writes the files.
        ranks: how many there are.
        device: what it computes on.
    """

    rank: int
    ranks: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def broadcast_weights(self, module: nn.Module) -> None:
        """Give every process the first one's weights."""
        if self.ranks > 1:
            for value in module.state_dict().values():
                dist.broadcast(value, 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes, in one message."""
        if self.ranks == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.ranks
        for parameter, piece in zip(parameters, flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = piece.view_as(parameter)

    def average(self, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        """Metrics' means over the processes."""
        if self.ranks == 1:
            return metrics
        stacked = torch.stack([value.detach().float() for value in metrics.values()])
        dist.all_reduce(stacked)
        return dict(zip(metrics, stacked / self.ranks, strict=True))

    def broadcast(self, value: Made) -> Made:
        """The first process's value in all: decisions that depend on a clock must be the same everywhere."""
        if self.ranks == 1:
            return value
        found = [value]
        dist.broadcast_object_list(found, 0, device=self.device)
        return found[0]

    def on_first(self, act: Callable[[], Made]) -> Made | None:
        """What the first process makes while the others wait; None there. When it fails, all end.

        Raises:
            StoppedWithFirst: in the others, what the first one raised.
        """
        made, failure = None, None
        if self.first:
            try:
                made = act()
            except Exception as error:
                failure = error
        said = self.broadcast("" if failure is None else str(failure) or type(failure).__name__)
        if failure is not None:
            raise failure
        if said:
            raise StoppedWithFirst(said)
        return made

    @contextmanager
    def all_cores(self) -> Iterator[None]:
        """Inside the block this process has every core, while the others wait: torchrun gives each one."""
        before = torch.get_num_threads()
        if self.ranks > 1:
            torch.set_num_threads(usable_cores())
        try:
            yield
        finally:
            torch.set_num_threads(before)


def join_group(device: str = "auto") -> ProcessGroup:
    """Join the processes that torchrun has started; alone without it.

    Args:
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
    """
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device=cuda, but torch sees no GPU; use device=cpu or install a CUDA build of torch."
        )
    where = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if kind == "cuda" else kind)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if ranks > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=PATIENCE)
    return ProcessGroup(rank, ranks, where)


def leave_group() -> None:
    """The opposite of `join_group`."""
    if dist.is_initialized():
        dist.destroy_process_group()


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

    0 stands for a number that is not known.
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
