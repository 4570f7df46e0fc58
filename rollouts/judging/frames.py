"""Tokens as frames and frames as tokens, in NumPy and in small batches."""

from __future__ import annotations

from collections.abc import Callable

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
        return self._in_batches(self.tokenizer.encode, images)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """int64 [T, N] → uint8 [T, H, W, 3]."""
        return self._in_batches(self.tokenizer.decode, tokens)

    def _in_batches(self, turn: Callable[[torch.Tensor], torch.Tensor], rows: np.ndarray) -> np.ndarray:
        pieces = torch.from_numpy(rows).split(BATCH)
        return torch.cat([turn(piece.to(self.device)) for piece in pieces]).cpu().numpy()
