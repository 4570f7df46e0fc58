"""Where a run came from: the code's version, the libraries', the machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def provenance() -> dict[str, Any]:
    """What a checkpoint tells about the machine and the code that made it."""
    return {
        "git": git_commit(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "playloop": version("playloop"),
        },
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
    }


def git_commit() -> str | None:
    """The commit of this checkout, with "-dirty" if files differ from it; None outside a checkout."""
    folder = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None
