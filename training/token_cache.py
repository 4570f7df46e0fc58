"""A cache of frames' tokens: encoded once, a file beside the recordings, read as if it lay in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from playloop.demos.arrays import made_once, open_filled

PIECE = 256
"""Frames that are read at a time where they are small."""


class Tokenizer(Protocol):
    """What a frame tokenizer needs to have here."""

    @property
    def tokens(self) -> int:
        """N, of a frame."""

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] → int64 [B, N]."""


def token_cache_path(folder: Path, encoding: str, frames: str) -> Path:
    """Where the tokens of some frames lie in a folder.

    Args:
        folder: of the caches.
        encoding: the name of what the tokenizer does.
        frames: a name that changes with them.
    """
    return folder / f"tokens-{encoding}-{frames}.npy"


def cached_tokens(
    path: Path, length: int, pieces: Iterable[np.ndarray], tokenizer: Tokenizer, device: str = "cpu"
) -> np.ndarray:
    """Tokens of frames, int16 [length, N], memory-mapped; encoded if the file is not there yet.

    Args:
        path: of the file; it is there whole or not at all.
        length: number of frames.
        pieces: the frames in their order, uint8 [n, H, W, 3] each; taken from only to encode.
        tokenizer: whose codes fit into 16 bits.
        device: that it is on.

    Raises:
        OSError: as `made_once`.
        ValueError: likewise, or there is another number of frames.
    """

    def fill(target: Path) -> None:
        array, done = open_filled(target), 0
        for images in pieces:
            found = tokenizer.encode(torch.from_numpy(images).to(device)).cpu().numpy()
            array[done : done + len(found)] = found
            done += len(found)
        if done != length:
            raise ValueError(f"{path} is for {length} frames, and {done} were read; check the data set")
        array.flush()

    return made_once(path, (length, tokenizer.tokens), np.int16, fill)
