"""Where SimplerEnv's models, stages and photographs lie. They are not part of this package.

`MS_ASSET_DIR` names the folder, as in ManiSkill; without it ManiSkill's own `~/.maniskill` counts. Bridge's
are in `data/`, as ManiSkill's downloader leaves them; Fractal's in `fractal/`, a checkout of the repository
ManiSkill2_real2sim.
"""

from __future__ import annotations

import os
from pathlib import Path

FETCH = {
    "bridge": "python -m mani_skill.utils.download_asset bridge_v2_real2sim, then the same with widowx250s",
    "fractal": "git clone --depth 1 https://github.com/simpler-env/ManiSkill2_real2sim {root}/fractal",
}
"""Suite → the command that fetches its assets."""
NEEDED = {
    "bridge": (
        "data/robots/widowx/wx250s.urdf",
        "data/tasks/bridge_v2_real2sim_dataset/custom/info_bridge_custom_v0.json",
        "data/tasks/bridge_v2_real2sim_dataset/real_inpainting/bridge_real_eval_1.png",
        "data/tasks/bridge_v2_real2sim_dataset/stages/bridge_table_1_v1.glb",
    ),
    "fractal": (
        "fractal/data/custom/info_pick_custom_v0.json",
        "fractal/data/real_inpainting/google_coke_can_real_eval_1.png",
        "fractal/mani_skill2_real2sim/assets/descriptions/googlerobot_description",
    ),
}
"""Suite → paths below the root without which nothing of it runs."""


def asset_root() -> Path:
    """The folder that holds everything, whether or not it exists."""
    return Path(os.environ.get("MS_ASSET_DIR") or "~/.maniskill").expanduser().absolute()


def missing(suite: str) -> str:
    """A sentence about what a suite lacks and how to get it; "" if all is there."""
    root = asset_root()
    lacking = [path for path in NEEDED[suite] if not (root / path).exists()]
    if not lacking:
        return ""
    fetch = FETCH[suite].format(root=root)
    return (
        f"{suite}'s assets are missing ({root / lacking[0]}): {fetch}, or set MS_ASSET_DIR to where they lie"
    )


def require(suite: str) -> Path:
    """The folder, all of the suite's assets in it.

    Raises:
        FileNotFoundError: something is missing; names the command that fetches it.
    """
    if sentence := missing(suite):
        raise FileNotFoundError(sentence)
    return asset_root()
