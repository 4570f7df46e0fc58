"""What tests of SimplerEnv need, and the sentence they are skipped with where it is missing."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from playloop.envs.simpler import assets, vulkan

BESIDE = Path(__file__).parents[2] / "shared" / "assets" / "simpler"
"""Where assets lie beside a checkout, if they do."""

if "MS_ASSET_DIR" not in os.environ and BESIDE.is_dir():
    os.environ["MS_ASSET_DIR"] = str(BESIDE)  # before the first import of ManiSkill, which reads it


@cache
def why_skip(suite: str) -> str:
    """Why a suite cannot run here; "" if it can."""
    if find_spec("mani_skill") is None:
        return "ManiSkill is not installed: pip install 'playloop[simpler]'"
    if lacking := assets.missing(suite):
        return lacking
    reason = _driver()
    return f"Vulkan does not draw ({reason}): {vulkan.FIX}" if reason else ""


@cache
def _driver() -> str:
    return vulkan.why_not()
