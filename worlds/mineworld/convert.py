"""`playloop convert` without its command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from playloop.core.annotations import Count
from playloop.core.checked import checked
from playloop.core.files import file_hash
from playloop.core.kinds import kind
from playloop.core.minecraft import ACTION_SIZE
from playloop.nn.slots import fill_slots
from playloop.tokenizers.vq import VQTokenizer, resize_linear
from playloop.worlds.mineworld.files import Published, read_published
from playloop.worlds.mineworld.folder import save_published

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "keep": None}
"""Names of the types that weights can be kept in."""
GREY = 127
FRAMES = 8
"""The length of a beginning where nothing else is stated and the context holds more."""

ReadStarts = Callable[[Path, int], tuple[np.ndarray, np.ndarray]]
"""A file, and frames of a beginning where the actions between them are known (else one) → uint8
[S, T, H, W, 3] and the actions between the frames, float32 [S, T - 1, 25]."""


@kind("mineworld-conversion")
@checked
class ConvertConfig:
    """Settings of `convert`.

    Args:
        config: the published YAML file; None looks for it beside the checkpoint, and without one takes the
            published sizes that fit, of several those that the file is called by.
        starts: an image or a clip to begin play with; a clip beside a .jsonl of the same name is a VPT
            recording, whose actions are used. None leaves one grey frame, for play that goes on from other
            pictures.
        frames: of each beginning, where actions are known; None: `FRAMES`, or as many as leave room for one
            more in the context.
        dtype: to keep the weights in, "keep" as they are; the release computes in float16.
        rows: of a frame's grid of tokens.
        columns: likewise.
    """

    config: str | None = None
    starts: str | None = None
    frames: Count | None = None
    dtype: Literal["float16", "bfloat16", "float32", "keep"] = "float16"
    rows: Count = 14
    columns: Count = 24

    def check(self) -> None:
        """Refuse a file of beginnings that is not there, before anything is read.

        Raises:
            FileNotFoundError: names it.
        """
        if self.starts is not None and not Path(self.starts).is_file():
            raise FileNotFoundError(f"starts={self.starts} is not there; give an image or a clip")

    def frames_in(self, context: int) -> int:
        """Frames of a beginning where the model's context holds so many; it must have room for one more."""
        frames = min(FRAMES, context - 1) if self.frames is None else self.frames
        if not 0 < frames < context:
            raise ValueError(f"frames={frames} must be below the context, which holds {context} frames")
        return frames


def convert(
    source: str | Path,
    folder: str | Path,
    settings: ConvertConfig,
    read_starts: ReadStarts,
    command: str = "",
) -> Published:
    """Make a Playloop folder of a published MineWorld; `read_starts` reads the file `settings.starts`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or foreign, or settings do not fit.
    """
    settings.check()
    published = read_published(source, settings.config, settings.rows, settings.columns)
    starts = _starts(published, settings, read_starts)
    record = {
        "command": command,
        "source": published.path.name,
        "source_sha256": file_hash(published.path),
        "dtype": settings.dtype,
        "starts": settings.starts,
    }
    save_published(Path(folder), published, DTYPES[settings.dtype], starts, record)
    return published


def _starts(published: Published, settings: ConvertConfig, read_starts: ReadStarts) -> tuple[Tensor, Tensor]:
    """Tokens [S, T, N] and actions [S, T - 1, A] of the beginnings."""
    frames = settings.frames_in(published.config.context)
    size = published.tokenizer.height, published.tokenizer.width
    if settings.starts is None:
        images = np.full((1, 1, *size, 3), GREY, np.uint8)
        vectors = np.zeros((1, 0, ACTION_SIZE), np.float32)
    else:
        images, vectors = read_starts(Path(settings.starts), frames)
    resized = np.stack([resize_linear(image, size) for image in images.reshape(-1, *images.shape[2:])])
    with torch.device("meta"):
        tokenizer = VQTokenizer(published.tokenizer)
    fill_slots(tokenizer.to_empty(device="cpu"), tokenizer.slots(), published.tokenizer_weights.items())
    tokenizer.eval()  # in float32
    tokens = torch.cat([tokenizer.encode(image[None]) for image in torch.from_numpy(resized)])
    actions = torch.from_numpy(published.config.actions.encode(vectors))
    return tokens.unflatten(0, images.shape[:2]), actions
