"""What tests of SimplerEnv need, and the sentence they are skipped with where it is missing."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from playloop.envs.simpler import assets, vulkan
from playloop.envs.simpler.vulkan import why_not as try_driver

BESIDE = Path(__file__).parents[2] / "shared" / "assets" / "simpler"
"""Where assets lie beside a checkout, if they do."""

TRIED = "PLAYLOOP_TESTS_VULKAN"

if "MS_ASSET_DIR" not in os.environ and BESIDE.is_dir():
    os.environ["MS_ASSET_DIR"] = str(BESIDE)  # before the first import of ManiSkill, which reads it


@cache
def why_skip(suite: str) -> str:
    """Why a suite cannot run here; "" if it can."""
    if find_spec("mani_skill") is None:
        return "ManiSkill is not installed: pip install 'playloop[simpler]'"
    if lacking := assets.missing(suite):
        return lacking
    reason = why_not()
    return f"Vulkan does not draw ({reason}): {vulkan.FIX}" if reason else ""


def why_not() -> str:
    """Whether Vulkan draws, tried once, as it takes seconds: processes that a test starts get the answer."""
    if TRIED not in os.environ:
        os.environ[TRIED] = try_driver()
    return os.environ[TRIED]
