"""A tiny data set under a contract, whose actions can be told from its images, and a tiny model for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from playloop.core.contract import Contract
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.demos.video.encoder import encode_video
from playloop.nn.vision import Augmentation
from playloop.policies.vla import CameraConfig, VLAConfig
from playloop.tokenizers.instructions import NGramsConfig
from playloop.training.policy import PolicyTaskConfig

CONTRACT = Contract(
    family="toy",
    action="moves",
    action_names=(*"abcdef", "gripper"),
    control_hz=20.0,
    cameras={"front": (64, 64), "wrist": (64, 64)},
    image="upright",
    state_names=("x", "y", "z", "g"),
    success="never",
)
MODEL = VLAConfig(
    cameras={"front": CameraConfig((8, 8), (1, 1), 1, 4), "wrist": CameraConfig((8, 8), (1, 1), 2, 4)},
    image_size=32,
    instruction_size=32,
    width=32,
    layers=1,
    heads=2,
    draws=1,
    augmentation=Augmentation(),
)
IMAGE = {"dtype": "video", "shape": [64, 64, 3], "names": ["height", "width", "channels"]}
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [4], "names": None},
    "action": {"dtype": "float32", "shape": [7], "names": None},
    "action_chunk": {"dtype": "float32", "shape": [8, 7], "names": None},
    "expert": {"dtype": "int64", "shape": [1], "names": None},
    "observation.target": {"dtype": "float32", "shape": [6], "names": None},
    "observation.images.front": IMAGE,
    "observation.images.wrist": IMAGE,
}


def write_demos(root: Path, episodes: int = 5, rows: int = 12, seed: int = 0) -> None:
    """Row r of an episode is by the expert unless r % 4 is 3; images are gray of the row's brightness."""
    rng = np.random.default_rng(seed)
    with DatasetWriter(root, 10, FEATURES) as writer:
        for episode in range(episodes):
            chunk = rng.uniform(-1, 1, (rows, 8, 7)).astype(np.float32)
            gray = np.broadcast_to(rng.integers(0, 256, (rows, 1, 1, 1), np.uint8), (rows, 64, 64, 3))
            videos = {}
            for name in ("front", "wrist"):
                videos[f"observation.images.{name}"] = root.parent / f"{root.name}-{name}.mp4"
                encode_video(gray, root.parent / f"{root.name}-{name}.mp4", 10)
            columns = {
                "observation.state": rng.normal(size=(rows, 4)).astype(np.float32),
                "action": chunk[:, 0],
                "action_chunk": chunk,
                "expert": (np.arange(rows) % 4 != 3).astype(np.int64),
                "observation.target": rng.normal(size=(rows, 6)).astype(np.float32),
            }
            writer.add_episode(columns, videos, f"pick up object {episode % 2}")
        writer.finalize({"contract": CONTRACT.to_json(), "stride": 2, "seed": seed})


def task_config(*roots: Path, **changes) -> PolicyTaskConfig:
    options = {"model": MODEL, "instructions": NGramsConfig(size=32), "validation": 0.2, "processes": 1}
    return PolicyTaskConfig(data=[str(root) for root in roots], **(options | changes))
