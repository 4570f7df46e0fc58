"""Does SimplerEnv run here as it should? Versions, the Vulkan driver, assets, a known scene."""

from __future__ import annotations

import sys
from pathlib import Path

from playloop.core.episode import Episode
from playloop.core.images import shrink
from playloop.envs.findings import Finding, check_package, check_scenes, settle, write_scene
from playloop.envs.simpler import assets, vulkan
from playloop.envs.simpler.config import SimplerConfig

TESTED = {"mani_skill": "3.0.1", "sapien": "3.0.3"}
"""Versions on which results depend; the constraints file installs them."""
SCENE = Episode("bridge", 1, 0)
"""Carrot and plate: where they come to rest shows a wrong table or wrong physics."""
SIZE = (96, 128)
FIX = "pip install mani_skill=={mani_skill} sapien=={sapien}, and fetch the assets again".format(**TESTED)


def check() -> list[Finding]:
    """All findings on SimplerEnv; nothing further where it is not installed or has no assets."""
    versions = [check_package(package, wanted, "simpler") for package, wanted in TESTED.items()]
    if lacking := [finding for finding in versions if finding.text == "is not installed"]:
        return [
            Finding("SimplerEnv", f"{lacking[0].subject} is not installed", lacking[0].fix, optional=True)
        ]
    driver = check_driver()
    found = [*versions, driver, *map(check_assets, assets.NEEDED)]
    if not driver.fix and not assets.missing("bridge"):
        found += check_scenes("playloop.envs.simpler.doctor", [SCENE], FIX)
    return found


def check_driver() -> Finding:
    """Whether Vulkan draws, and with which driver."""
    chosen = vulkan.choose_driver()
    name = f"the driver of {chosen}" if chosen else "the system's driver"
    reason = vulkan.why_not()
    if not reason:
        return Finding("Vulkan", f"{name} draws")
    theirs = chosen is not None and Path(chosen) != vulkan.manifest()
    first = f"unset {vulkan.OLD_MANIFEST} {vulkan.MANIFEST}, then " if theirs else ""
    return Finding("Vulkan", f"{name} does not draw: {reason}", first + vulkan.FIX)


def check_assets(suite: str) -> Finding:
    """Whether a suite's assets are here; without them the suite is left out, which is no error."""
    if assets.missing(suite):
        fetch = assets.FETCH[suite].format(root=assets.asset_root())
        text = f"no assets in {assets.asset_root()}"
        return Finding(suite, text, f"{fetch}, or set MS_ASSET_DIR to where they lie", optional=True)
    return Finding(suite, f"assets in {assets.asset_root()}")


def write_scenes(folder: Path) -> list[Path]:
    """Settle the scene and store it, the picture made small."""
    scene = settle(SimplerConfig(SCENE.suite).make(), SCENE)
    return [write_scene(folder, SCENE, scene | {"image": shrink(scene["image"], SIZE)})]


if __name__ == "__main__":
    write_scenes(Path(sys.argv[1]))
