"""Tokens as frames and frames as tokens, in NumPy and in small batches."""

from __future__ import annotations

import numpy as np
import torch

from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.vq import VQTokenizer

BATCH = 32
"""Frames at a time; a constant, so that a frame is decoded the same way wherever it comes from."""


class Frames:
    """A frame tokenizer on arrays.

    Args:
        tokenizer: on any device.
    """

    def __init__(self, tokenizer: FrameTokenizer | VQTokenizer):
        self.tokenizer = tokenizer
        self.device = next(tokenizer.parameters()).device

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.tokenizer.config.height, self.tokenizer.config.width

    def encode(self, images: np.ndarray) -> np.ndarray:
        """uint8 [T, H, W, 3] → int64 [T, N]."""
        pieces = [
            self.tokenizer.encode(torch.from_numpy(images[start : start + BATCH]).to(self.device))
            for start in range(0, len(images), BATCH)
        ]
        return torch.cat(pieces).cpu().numpy()

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """int64 [T, N] → uint8 [T, H, W, 3]."""
        pieces = [
            self.tokenizer.decode(torch.from_numpy(tokens[start : start + BATCH]).to(self.device))
            for start in range(0, len(tokens), BATCH)
        ]
        return torch.cat(pieces).cpu().numpy()
