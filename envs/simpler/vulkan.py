"""A Vulkan driver that SAPIEN can draw with on machines without a GPU: found, tried, and installed.

SAPIEN needs Mesa 23 or newer; Debian 12 has 22.3. Its backports have Mesa 25, but installing that through apt
also replaces the OpenGL drivers that draw LIBERO's pictures. So the one driver is unpacked beside Python,
where nothing else finds it and no root is needed.

    python -m playloop.envs.simpler.vulkan      # tries the driver, installs one where it does not work
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from playloop.envs.gl import load_triton

FOLDER = Path(sys.prefix) / "share" / "playloop" / "vulkan"
"""Where `install` puts the driver."""
PACKAGE = "mesa-vulkan-drivers"
MANIFEST = "VK_DRIVER_FILES"
OLD_MANIFEST = "VK_ICD_FILENAMES"
"""The loader's variables for manifests of drivers; the second is the older name, the one SAPIEN looks at."""
FIX = "python -m playloop.envs.simpler.vulkan  (unpacks Mesa's software driver beside Python; no root needed)"
PROBE = """
from playloop.envs.simpler.vulkan import choose_driver
choose_driver()
import sapien
scene = sapien.Scene([sapien.physx.PhysxCpuSystem(), sapien.render.RenderSystem("{device}")])
camera = scene.add_camera("probe", 16, 16, 1.0, 0.1, 10.0)
scene.set_ambient_light([1.0, 1.0, 1.0])
scene.update_render()
camera.take_picture()
assert camera.get_picture("Color").shape == (16, 16, 4)
"""


def manifest() -> Path:
    """What describes the installed driver to Vulkan, whether or not it is there."""
    return FOLDER / "driver.json"


def choose_driver() -> str | None:
    """Point Vulkan at the installed driver, if there is one and the user has chosen none.

    Call before the first import of sapien. Returns the manifest that counts, None for the system's own.
    """
    load_triton()
    # SAPIEN brings a loader of its own, which does as well
    warnings.filterwarnings("ignore", message="Failed to find system libvulkan")
    for name in (OLD_MANIFEST, MANIFEST):
        if os.environ.get(name):
            return os.environ[name]
    if not manifest().is_file():
        return None
    os.environ[OLD_MANIFEST] = os.environ[MANIFEST] = str(manifest())
    return str(manifest())


def render_device() -> str:
    """SAPIEN's name of the device that draws: "cuda" where PyTorch sees a GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def why_not() -> str:
    """Draw a small picture in a process of its own, because a bad driver may crash it; "" if that works."""
    command = [sys.executable, "-c", PROBE.format(device=render_device())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "no picture after two minutes"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"the process ended with status {done.returncode}"


def install() -> None:
    """Unpack Debian's newest software driver into `FOLDER`.

    Raises:
        RuntimeError: this is no Debian, or its mirror does not answer; tells what to do instead.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _run(["dpkg-deb", "-x", str(_download(Path(scratch))), str(FOLDER)], "unpacking")
    libraries = sorted(FOLDER.rglob("libvulkan_lvp.so"))
    if not libraries:
        raise RuntimeError(f"{PACKAGE} holds no software driver for this processor")
    stored = next(FOLDER.rglob("lvp_icd*.json"))
    described = json.loads(stored.read_text())
    described["ICD"]["library_path"] = str(libraries[0])
    unfinished = FOLDER / "driver.json.part"
    unfinished.write_text(json.dumps(described, indent=1))
    unfinished.replace(manifest())


def _download(scratch: Path) -> Path:
    """The package's file, through apt with lists of its own: the system's stay as they are."""
    sources = scratch / "sources.list"
    sources.write_text(
        "".join(f"deb [signed-by={key}] {uri} {suite} main\n" for uri, suite, key in _suites())
    )
    options = {
        "Dir::State": scratch / "state",
        "Dir::Cache": scratch / "cache",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Sandbox::User": "",
    }
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run(["apt-get", *given, "update"], "reading the package lists")
    newest = ["-t", _suites()[-1][1]]
    _run(["apt-get", *given, *newest, "download", PACKAGE], "the download", scratch)
    return next(scratch.glob("*.deb"))


def _suites() -> list[tuple[str, str, str]]:
    """(mirror, suite, keyring) of this Debian and its backports, the latter last."""
    release = dict(re.findall(r"^(\w+)=\"?([^\"\n]*)", Path("/etc/os-release").read_text(), re.MULTILINE))
    if release.get("ID") != "debian" or not release.get("VERSION_CODENAME"):
        raise RuntimeError(
            "only Debian's driver can be unpacked; install a Vulkan driver of Mesa 23 or newer with your "
            "system's package manager (mesa-vulkan-drivers)"
        )
    found = sorted(Path("/etc/apt").glob("sources.list")) + sorted(Path("/etc/apt/sources.list.d").glob("*"))
    text = "\n".join(path.read_text(errors="replace") for path in found if path.is_file())
    mirror = re.search(r"https?://\S*/debian(?=/?[\s$])", text)
    uri = mirror.group(0) if mirror else "http://deb.debian.org/debian"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    name = release["VERSION_CODENAME"]
    return [(uri, name, key), (uri, f"{name}-backports", key)]


def _run(command: list[str], purpose: str, folder: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except FileNotFoundError as error:
        raise RuntimeError(f"{command[0]} is missing; install mesa-vulkan-drivers (23 or newer)") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{purpose} failed: {last}")


def main() -> int:
    """Try, install, try again; the exit status is 0 if a picture was drawn in the end."""
    reason = why_not()
    if reason:
        print(f"Vulkan does not draw ({reason}); unpacking Mesa's software driver into {FOLDER}")
        try:
            install()
        except RuntimeError as error:
            print(f"No driver: {error}", file=sys.stderr)
            return 1
        reason = why_not()
    print(f"Vulkan does not draw: {reason}" if reason else "Vulkan draws.", flush=True)
    return int(bool(reason))


if __name__ == "__main__":
    sys.exit(main())
