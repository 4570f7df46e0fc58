"""A small data set of a turning view in the voxel world: what turned it can be seen."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from playloop.core.minecraft import ACTION_NAMES, ACTION_SIZE, index_of
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.demos.video.encoder import encode_video
from playloop.envs.craft.env import CraftConfig
from playloop.envs.craft.render import render
from playloop.envs.craft.terrain import generate, height_map
from playloop.training.inverse import InverseTaskConfig
from playloop.worlds.inverse import InverseConfig

MODEL = InverseConfig(height=32, width=32, before=0, after=0, features=16, reach=2, channels=(32,), hidden=64)
FEATURES = {
    "action": {"dtype": "float32", "shape": [ACTION_SIZE], "names": list(ACTION_NAMES)},
    "observation.images.pov": {
        "dtype": "video",
        "shape": [32, 32, 3],
        "names": ["height", "width", "channels"],
    },
}


@cache
def world():
    return generate(7), height_map(7)


def turning_clip(length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 [length, 32, 32, 3] and actions [length, 25]; the forward key is held and does nothing."""
    grid, height = world()
    x, z = rng.integers(20, 108, 2)
    eye = np.array([x + 0.5, max(height[x, z], 26) + 3.0, z + 0.5])
    actions = np.zeros((length, ACTION_SIZE), np.float32)
    actions[:, -2:] = rng.normal(0, (4.0, 8.0), (length, 2))
    actions[:, index_of("forward")] = 1
    turns = np.cumsum(actions[:, -2:], 0) - actions[:, -2:] + [10, rng.uniform(0, 360)]  # before each step
    frames = [render(grid, eye, pitch, yaw, (32, 32)) for pitch, yaw in turns]
    return np.stack(frames), actions


def write_demos(root: Path, episodes: int = 6, rows: int = 9, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    with DatasetWriter(root, 20, FEATURES) as writer:
        for episode in range(episodes):
            frames, actions = turning_clip(rows, rng)
            part = root.parent / f"{root.name}-{episode}.mp4"
            encode_video(frames, part, 20)
            writer.add_episode({"action": actions}, {"observation.images.pov": part}, "turn")
        contract = replace(CraftConfig().contract(), cameras={"pov": (32, 32)})
        writer.finalize(playloop={"contract": contract.to_json()})


def task_config(*roots: Path, **changes) -> InverseTaskConfig:
    options = {"model": MODEL, "validation": 0.2, "processes": 1}
    return InverseTaskConfig(data=[str(root) for root in roots], **(options | changes))
