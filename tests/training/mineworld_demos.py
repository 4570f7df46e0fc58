"""Recordings and a small MineWorld to fine-tune on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from mineworld_release import write_synthetic

from playloop.configs.compose import load
from playloop.core.minecraft import ACTION_NAMES, ACTION_SIZE, action_vector
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.demos.video.encoder import encode_video
from playloop.envs.craft.env import CraftConfig
from playloop.rollouts.play.uploads import read_starts
from playloop.rollouts.recording.record import record
from playloop.worlds.mineworld.convert import ConvertConfig, convert

SIZE = (40, 72)
"""Of the recorded frames; the tokenizer wants 32 x 64, which is no fraction of it."""
HELD, FREE = action_vector({"forward": 1}), np.zeros(ACTION_SIZE, np.float32)
POV = "observation.images.pov"
FEATURES = {
    "action": {"dtype": "float32", "shape": [ACTION_SIZE], "names": list(ACTION_NAMES)},
    POV: {"dtype": "video", "shape": [*SIZE, 3], "names": ["height", "width", "channels"]},
}


def record_explorer(folder: Path) -> Path:
    """Six short walks through the voxel world."""
    words = ["env=craft", "agent=explorer", "task=explore", "workers=0", "seed=3", f"out={folder}"]
    words += [f"env.size=[{SIZE[0]},{SIZE[1]}]", "env.horizon=20", "episodes=6"]
    record(load("record", words))
    return folder


def picture(held: bool) -> np.ndarray:
    """What is seen after a step with the forward key held, and after one without."""
    blocks = np.random.default_rng(int(held)).integers(0, 256, (2, 4, 3), np.uint8)
    return blocks.repeat(20, 0).repeat(18, 1)


def write_lamp(root: Path, episodes: int = 8, rows: int = 10, seed: int = 0) -> Path:
    """Episodes in which the key alone decides on the next picture, so that it can be learned at once."""
    rng = np.random.default_rng(seed)
    with DatasetWriter(root, 20, FEATURES) as writer:
        for episode in range(episodes):
            held = rng.random(rows + 1) < 0.5
            part = root.parent / f"{root.name}-{episode}.mp4"
            encode_video(np.stack([picture(key) for key in held[:-1]]), part, 20)
            actions = np.stack([HELD if key else FREE for key in held[1:]])  # row i leads to frame i + 1
            writer.add_episode({"action": actions}, {POV: part}, "press")
        contract = replace(CraftConfig().contract(), cameras={"pov": SIZE})
        writer.finalize(playloop={"contract": contract.to_json()})
    return root


def write_base(folder: Path) -> Path:
    """A MineWorld with weights from a seed, as `playloop convert` leaves it."""
    source = write_synthetic(folder.parent / f"{folder.name}-release")
    convert(source, folder, ConvertConfig(rows=2, columns=4, frames=2, dtype="keep"), read_starts)
    return folder


def words(home: Path, out: Path, *more: str) -> list[str]:
    """`playloop train mineworld=…` for a few steps; a later word replaces an earlier one."""
    fixed = "steps=40 batch=8 warmup=5 rate=0.003 average=0 precision=fp32 log_every=10 validate_every=20"
    fixed += " checkpoint_every=20 processes=1 validation=0.3 device=cpu progress=false dtype=keep"
    given = [f"mineworld={home / 'base'}", f"data={home / 'data'}", f"out={out}", *fixed.split(), *more]
    return [*{word.partition("=")[0]: word for word in given}.values()]
