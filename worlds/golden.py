"""What a world model and its parts make of a golden input (`nn.golden`), and how near it has to come again.

From the pictures and an action to logits and pictures: altered weights or settings show, and so does code or
hardware that computes something else. Whole frames are not drawn again: a token whose two likeliest ids are
nearly equal falls otherwise on every processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from playloop.core.minecraft import action_vector
from playloop.nn.building import Network, Sizes
from playloop.nn.folder import rounded
from playloop.nn.golden import GOLDEN, Arrays, make_again
from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.minecraft import CompactActions
from playloop.worlds.inverse import InverseModel
from playloop.worlds.model import WorldModel

TOLERANCE = {torch.float32: 0.01, torch.float64: 0.01}
"""Mean difference allowed, as a share of how far the numbers lie apart: processors differ by a millionth."""
COARSE = 0.2
"""In half precision."""
ACTION = {"forward": 1, "jump": 1, "attack": 1, "hotbar.2": 1, "camera": (3.0, -8.0)}
READ = 8
"""Tokens of a frame whose logits are kept."""


def pictures(count: int, height: int, width: int) -> np.ndarray:
    """Coloured squares, uint8 [count, height, width, 3]."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return squares.repeat(8, 1).repeat(8, 2)[:, :height, :width]


def verify_golden(
    folder: Path, again: Callable[[Arrays], Arrays], dtype: torch.dtype = torch.float32
) -> None:
    """Compare; nothing happens where a folder has no golden file, as older ones.

    Args:
        folder: of the model.
        again: makes the same of the stored input.
        dtype: that is computed in.

    Raises:
        ValueError: something else is made of it now, or the file is damaged.
    """
    if not (folder / GOLDEN).is_file():
        return
    golden, now = make_again(folder, again)
    allowed = TOLERANCE.get(dtype, COARSE)
    for name, values in now.items():
        if name not in golden or _apart(values, golden[name]) > allowed:
            raise ValueError(
                f"{folder}: its {name} are not those that it was written with ({GOLDEN}): weights, settings "
                "or code are others; copy the folder again, or use the version that wrote it"
            )


def _apart(now: np.ndarray, then: np.ndarray) -> float:
    """Mean difference as a share of the mean deviation."""
    if now.shape != then.shape:
        return np.inf
    a, b = now.astype(np.float64), then.astype(np.float64)
    found = np.abs(a - b).mean() / max(np.abs(b - b.mean()).mean(), 1e-9)
    return float(found) if np.isfinite(found) else np.inf


@torch.inference_mode()
def of_tokenizer(tokenizer: FrameTokenizer, given: Arrays | None = None) -> Arrays:
    """Latents of two pictures, and the pictures of stored ids."""
    images = (
        pictures(2, tokenizer.config.height, tokenizer.config.width) if given is None else given["images"]
    )
    ids = tokenizer.encode(torch.from_numpy(images)).numpy() if given is None else given["ids"]
    return {
        "images": images,
        "ids": ids,
        "latents": to_array(tokenizer.latents(torch.from_numpy(images))),
        "pixels": tokenizer.decode(torch.from_numpy(ids)).numpy(),
    }


@torch.inference_mode()
def of_inverse(model: InverseModel, given: Arrays | None = None) -> Arrays:
    """Logits, and the action with its turn in degrees, of as many pictures as the model sees."""
    config = model.config
    frames = pictures(config.frames, config.height, config.width) if given is None else given["frames"]
    logits = model(torch.from_numpy(frames)[None])
    made = {"logits": torch.cat(logits, -1).numpy(), "action": model.vectors(logits)}
    return {"frames": frames, **made}


@torch.inference_mode()
def of_world(model: WorldModel, tokenizer: FrameTokenizer, given: Arrays | None = None) -> Arrays:
    """What `of_tokenizer` makes, and logits of a frame behind two frames and an action, for every window."""
    made = of_tokenizer(tokenizer, given)
    vector = action_vector(ACTION) if given is None else given["vector"]
    ids = torch.from_numpy(made["ids"])[None]
    actions = torch.from_numpy(CompactActions().encode(vector[None]))[None]
    level = torch.zeros(1, dtype=torch.int64)
    logits = [model(ids, actions, window, level)[0, -1] for window in model.schedules]
    step = max(1, ids.shape[2] // READ)
    return made | {"vector": vector, "logits": to_array(torch.stack(logits)[:, ::step])}


def rounded_network(config: Sizes[Network], state: Mapping[str, Tensor]) -> Network:
    """A network with weights as they are stored, in bfloat16, on the CPU in float32."""
    network = config.make()
    network.load_state_dict({name: value.float() for name, value in rounded(state).items()})
    return network.eval()


def to_array(x: Tensor) -> np.ndarray:
    """On the CPU in float32."""
    return x.float().cpu().numpy()
