"""What a check of this machine found, and how a scene is compared with a stored one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

import numpy as np

from playloop.core.episode import Episode
from playloop.envs.base import PlayEnv

POSITION_TOLERANCE = 0.001
"""Metres. A wrong mujoco moves the bowl of libero_spatial task 5 by 6 mm."""
ROTATION_TOLERANCE = 0.01
"""Largest difference of a quaternion entry."""
BRIGHTNESS_TOLERANCE = 2.0
"""Difference of the mean pixel, 0 to 255. A wrong mujoco darkens libero_object by 36."""
PIXEL_TOLERANCE = 3.0
"""Mean absolute difference; a single edge pixel may differ by any amount between drivers."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        subject: what was checked.
        text: what was seen.
        fix: what to do about it; empty where all is well.
        optional: nothing is wrong, but something that could be here is not, and `fix` brings it.
    """

    subject: str
    text: str
    fix: str = ""
    optional: bool = False

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.optional or not self.fix


def check_package(package: str, wanted: str, extra: str) -> Finding:
    """An installed package against the tested version; `extra` is the part of playloop that needs it."""
    try:
        installed = metadata.version(package)
    except metadata.PackageNotFoundError:
        return Finding(package, "is not installed", f"pip install 'playloop[{extra}]'")
    if installed == wanted:
        return Finding(package, installed)
    return Finding(package, f"{installed}, tested with {wanted}", f"pip install {package}=={wanted}")


def check_scenes(module: str, scenes: Sequence[Episode], fix: str) -> list[Finding]:
    """Known initial states, settled and drawn in a fresh process, against the stored ones.

    `module`, run with a folder as its argument, writes the scenes there.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", module, folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            names = ", ".join(scene.key for scene in scenes)
            return [Finding(names, f"cannot be settled: {last}", "mend what is named above, then repeat")]
        return [
            finding
            for scene in scenes
            for finding in compare_scene(scene.key, read_scene(Path(folder), scene), reference(scene), fix)
        ]


def settle(env: PlayEnv, scene: Episode) -> dict[str, np.ndarray]:
    """Poses [7] by name and the first camera's picture at the start of an episode; closes the environment."""
    try:
        env.begin(scene)
        poses = {name: value for name, value in env.privileged().items() if value.shape == (7,)}
        return {**poses, "image": next(iter(env.observe()["images"].values()))}
    finally:
        env.close()


def compare_scene(
    name: str, seen: dict[str, np.ndarray], stored: dict[str, np.ndarray], fix: str
) -> list[Finding]:
    """Findings on poses [7] (xyz, quaternion) and image uint8 [H, W, 3] of one settled initial state."""
    if sorted(seen) != sorted(stored):
        return [Finding(name, "holds other objects than the stored scene", fix)]
    poses = sorted(stored.keys() - {"image"})
    moved = {key: float(np.linalg.norm(seen[key][:3] - stored[key][:3])) for key in poses}
    turned = {key: rotation_difference(seen[key][3:], stored[key][3:]) for key in poses}
    worst = max(poses, key=lambda key: (moved[key] / POSITION_TOLERANCE, turned[key]))
    bad = max(moved.values()) > POSITION_TOLERANCE or max(turned.values()) > ROTATION_TOLERANCE
    text = f"largest shift {1000 * moved[worst]:.3f} mm ({worst}), largest turn {max(turned.values()):.4f}"
    image, known = seen["image"], stored["image"]
    difference, brightness = np.abs(image.astype(np.float64) - known), abs(image.mean() - known.mean())
    other = brightness > BRIGHTNESS_TOLERANCE or difference.mean() > PIXEL_TOLERANCE
    pixels = (
        f"mean pixel {image.mean():.1f}, stored {known.mean():.1f}; "
        f"difference mean {difference.mean():.3f}, largest {difference.max():.0f}"
    )
    return [
        Finding(f"{name} poses", text, fix if bad else ""),
        Finding(f"{name} image", pixels, fix if other else ""),
    ]


def rotation_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Largest entry of the difference of two quaternions; q and -q are the same rotation."""
    return float(min(np.abs(first - second).max(), np.abs(first + second).max()))


def write_scene(folder: Path, scene: Episode, arrays: dict[str, np.ndarray]) -> Path:
    """Store a settled scene as an npz."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{scene.key}.npz"
    unfinished = path.with_suffix(".part.npz")
    np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]
    return unfinished.replace(path)


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
