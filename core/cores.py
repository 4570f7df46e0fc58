"""How many processor cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
SPINS = 10_000
"""Longer than a training step's threads wait for each other where they have cores of their own."""


def usable_cores(groups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Cores of the processor that this process may use: by affinity, and by the quota of its container."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders(groups, own) if (quota := _quota(folder)) is not None]
    return max(1, min([affinity, *map(int, quotas)]))


def wait_briefly() -> None:
    """Let OpenMP's threads spin only shortly when they wait for each other; call it before importing torch.

    By default they spin thirty times as long, and where other processes want the same cores, a spinning
    thread takes the place of the very one that it waits for. What is computed stays the same.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def _folders(groups: Path, own: Path) -> list[Path]:
    """Folders of this process's groups and those around them; a container mounts its own as the root."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    found = [groups, groups / "cpu"]
    for controllers, name in (line.split(":", 2)[1:] for line in lines if line.count(":") >= 2):
        if controllers == "" or "cpu" in controllers.split(","):
            folder = groups / ("cpu" if controllers else "") / name.strip("/")
            found += [folder, *(parent for parent in folder.parents if groups in parent.parents)]
    return found


def _quota(folder: Path) -> float | None:
    """Processor seconds a second that a group may use; None without a limit."""
    try:
        if (folder / "cpu.max").is_file():  # version 2
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        share = float(limit) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such group
        return None
    return share if share > 0 else None
