"""Imagined clips on disk: one line a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.checked import read_typed
from playloop.core.ledger import Ledger


class DreamStore:
    """`imagined.jsonl` and `config.json` in a folder; a repeated command continues a killed one.

    Only tokens are kept: every figure follows from them and from the recordings, so that a new figure costs
    no imagining.

    Args:
        folder: created if it does not exist.
        config: everything that can change a token, JSON-able.

    Raises:
        ValueError: the folder was begun with another configuration, or a line is damaged.
        BlockingIOError: another process is writing to the folder.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        self.path = Path(folder) / "imagined.jsonl"
        self._ledger = Ledger(self.path, config, _parsed)
        self._tokens = dict(self._ledger.records)

    def __contains__(self, key: str) -> bool:
        return key in self._tokens

    def __getitem__(self, key: str) -> np.ndarray:
        """The tokens of a clip, int64 [F, N]."""
        return self._tokens[key]

    def append(self, key: str, tokens: np.ndarray, seconds: float) -> None:
        """Write one line and wait until it is on the disk."""
        record = {"clip": key, "seconds": round(seconds, 4), "tokens": tokens.tolist()}
        self._ledger.append(record)
        self._tokens[key] = tokens

    def close(self) -> None:
        """Release the folder."""
        self._ledger.close()


@dataclass
class _Line:
    clip: str
    seconds: float
    tokens: list[list[int]]


def _parsed(record: Any, where: str) -> tuple[str, np.ndarray]:
    line: _Line = read_typed(_Line, record, where)
    return line.clip, np.array(line.tokens, np.int64)
