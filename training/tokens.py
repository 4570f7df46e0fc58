"""Frames that are made tokens once: a file beside the recordings, read as if it lay in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

PIECE = 256
"""Frames that are read at a time where they are small."""


class Tokenizer(Protocol):
    """What is asked of a frame tokenizer here."""

    @property
    def tokens(self) -> int:
        """N, of a frame."""

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] → int64 [B, N]."""


def tokens_path(folder: Path, encoding: str, frames: str) -> Path:
    """Where the tokens of some frames lie in a folder.

    Args:
        folder: of the caches.
        encoding: the name of what the tokenizer does.
        frames: a name that changes with them.
    """
    return folder / f"tokens-{encoding}-{frames}.npy"


def kept_tokens(
    path: Path, length: int, pieces: Iterable[np.ndarray], tokenizer: Tokenizer, device: str = "cpu"
) -> np.ndarray:
    """Tokens of frames, int16 [length, N], memory-mapped; encoded if the file is not there yet.

    Args:
        path: of the file; it is there whole or not at all.
        length: number of frames.
        pieces: the frames in their order, uint8 [n, H, W, 3] each; taken from only to encode.
        tokenizer: whose codes fit into 16 bits.
        device: that it is on.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, place = path.with_name(f".{path.stem}.{os.getpid()}.partial.npy"), 0
        try:
            shape = length, tokenizer.tokens
            target = np.lib.format.open_memmap(partial, mode="w+", dtype=np.int16, shape=shape)
            for images in pieces:
                found = tokenizer.encode(torch.from_numpy(images).to(device)).cpu().numpy()
                target[place : place + len(found)] = found
                place += len(found)
            target.flush()
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)
