"""An instruction encoder that many clients share: one embeds at a time, and memory stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from playloop.tokenizers.instructions import InstructionEncoder

KEPT = 1024
"""New texts whose vectors are kept; the oldest goes first. Those that the checkpoint carries stay."""


class SharedEncoder:
    """See `InstructionEncoder`; a text's vector is the same however often it is forgotten."""

    def __init__(self, inner: InstructionEncoder, kept: int = KEPT):
        self.inner, self.size, self.kept = inner, inner.size, kept
        self._given = frozenset(inner.known)
        self._lock = threading.Lock()

    @property
    def known(self) -> dict[str, np.ndarray]:
        """Vectors that are kept."""
        return self.inner.known

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, size]."""
        with self._lock:
            made = self.inner.encode(texts)
            if len(self.inner.known) > len(self._given) + self.kept:
                fresh = [text for text in self.inner.known if text not in self._given]
                for text in fresh[: len(fresh) // 2]:
                    del self.inner.known[text]
            return made
