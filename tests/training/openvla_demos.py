"""A tiny data set under LIBERO's contract, and a tiny checkpoint for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from playloop.core.robots import arm_contract
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.demos.video.encoder import encode_video
from playloop.nn.vit import ViTConfig
from playloop.policies.openvla.synthetic import write_synthetic
from playloop.training.openvla.model import AdapterConfig
from playloop.training.openvla.objectives import ObjectiveConfig
from playloop.training.openvla.task import OpenVLATaskConfig

CAMERAS = ("agentview", "robot0_eye_in_hand")
CONTRACT = arm_contract("libero", 256, "success", "standard")
TEXTS = ("pick up the milk", "open the top drawer and put the bowl inside")
TOWERS = (
    ViTConfig(8, 2, 2, 12, image=28, cls=True, registers=4, layer_scale=True),
    ViTConfig(8, 2, 2, 12, image=28),
)
IMAGE = {"dtype": "video", "shape": [256, 256, 3], "names": ["height", "width", "channels"]}
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [8], "names": None},
    "action": {"dtype": "float32", "shape": [7], "names": None},
    "action_chunk": {"dtype": "float32", "shape": [4, 7], "names": None},
    "expert": {"dtype": "int64", "shape": [1], "names": None},
} | {f"observation.images.{name}": IMAGE for name in CAMERAS}


def write_demos(root: Path, episodes: int = 3, rows: int = 4, seed: int = 0) -> Path:
    """Chunks of 4 random actions with an open or shut gripper; row 3 of an episode is not the expert's."""
    rng = np.random.default_rng(seed)
    with DatasetWriter(root, 20, FEATURES) as writer:
        for episode in range(episodes):
            chunk = rng.uniform(-1, 1, (rows, 4, 7)).astype(np.float32)
            chunk[..., -1] = np.sign(chunk[..., -1])
            videos = {}
            for name in CAMERAS:
                shades = rng.integers(40, 200, (rows, 4, 4, 3), np.uint8).repeat(64, 1).repeat(64, 2)
                videos[f"observation.images.{name}"] = root.parent / f"{root.name}-{name}.mp4"
                encode_video(shades, videos[f"observation.images.{name}"], 20)
            columns = {
                "observation.state": rng.normal(size=(rows, 8)).astype(np.float32),
                "action": chunk[:, 0],
                "action_chunk": chunk,
                "expert": (np.arange(rows) != 3).astype(np.int64),
            }
            writer.add_episode(columns, videos, TEXTS[episode % 2])
        writer.finalize({"contract": CONTRACT.to_json()})
    return root


def write_base(folder: Path, kind: str = "diffusion", **changes) -> Path:
    """A checkpoint whose chunk is the data's."""
    options = {"towers": TOWERS, "chunk": 4} if kind != "openvla" else {"towers": TOWERS}
    return write_synthetic(folder, 5, kind, **options | changes)


def settings(home: Path, **changes) -> OpenVLATaskConfig:
    options = {"openvla": str(home / "base"), "adapter": AdapterConfig(rank=4), "frozen": "fp32"}
    options |= {"validation": 0.3, "processes": 1}
    return OpenVLATaskConfig(data=[str(home / "data")], **options | changes)


def task_of(home: Path, name: str = "diffusion", attention: str = "full", **changes):
    task = settings(home, objective=ObjectiveConfig(name, attention), **changes).make()
    task.prepare(torch.device("cpu"), torch.float32)
    return task


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disturb(model) -> None:
    """Adapters that do something: B is 0 at first."""
    for name, value in model.named_parameters():
        if "lora_b" in name:
            torch.nn.init.normal_(value, std=0.2, generator=seeded(len(name)))
