"""The smallest model with all parts of the real one, shared by the tests of this folder."""

import numpy as np

from playloop.core.contract import Contract
from playloop.policies.vla import CameraConfig, VLAConfig
from playloop.tokenizers.normalizer import compute_statistics

CONTRACT = Contract(
    family="toy",
    action="end-effector delta; gripper -1 opens, +1 closes",
    action_names=("x", "y", "z", "rx", "ry", "rz", "gripper"),
    control_hz=20.0,
    cameras={"front": (64, 64), "hand": (64, 64)},
    image="upright",
    state_names=tuple("abcdefgh"),
    success="none",
)


def tiny_config(**changes) -> VLAConfig:
    """A model of some ten thousand weights."""
    cameras = {
        "front": CameraConfig((8, 16), (1, 1), keypoints=4),
        "hand": CameraConfig((8, 16), (1, 0), pool=2, keypoints=4),
    }
    sizes = {"image_size": 32, "instruction_size": 24, "width": 32, "layers": 2, "heads": 2}
    return VLAConfig(cameras=cameras, **{**sizes, **changes})


def tiny_statistics() -> dict:
    rng = np.random.default_rng(0)
    return compute_statistics(rng.uniform(-1, 1, (1000, 7)), rng.uniform(-1, 1, (1000, 8)))


def tiny_observation(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "images": {name: rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for name in CONTRACT.cameras},
        "state": rng.uniform(-1, 1, 8).astype(np.float32),
        "instruction": ["push the plate", "pick up the milk"][seed % 2],
    }
