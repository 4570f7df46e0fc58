"""Environments of the field's own clients, each apart from ours."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[1] / ".venv" / "clients"


def client_python(package, version, *undeclared):
    """Python of an environment that holds this package, made once; skips where no registry has it.

    `undeclared` are packages that it imports and does not ask for.
    """
    folder = CLIENTS / package
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = folder / "bin" / "python"
        have = [
            python,
            "-c",
            f"from importlib.metadata import version as v; assert v('{package}') == '{version}'",
        ]
        install = [python, "-m", "pip", "install", "-q", f"{package}=={version}", *undeclared]
        if not python.exists() or subprocess.run(have, capture_output=True).returncode:
            for command in ([sys.executable, "-m", "venv", folder], install):
                made = subprocess.run(list(map(str, command)), capture_output=True, text=True)
                if made.returncode:
                    pytest.skip(f"{package} {version} cannot be installed here: {made.stderr[-200:]}")
    return python
