"""Imagining clips, true frames to begin with, then a frame for every action; and the tokens on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from playloop.core.checked import read_typed
from playloop.core.ledger import Ledger
from playloop.nn.quantize import Kind
from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.vq import VQTokenizer
from playloop.worlds.playable import Playable
from playloop.worlds.sampler import SamplerConfig

DECODED = 32
"""Frames at a time; a constant, so that a frame is decoded the same way wherever it comes from."""


@dataclass(frozen=True)
class Start:
    """What a clip begins with: T true frames, and actions and randomness for F that are to be imagined."""

    tokens: np.ndarray  # int64 [T, N]
    actions: np.ndarray  # as the model takes them, int64 [T - 1 + F, G]
    uniform: np.ndarray  # float64 [F, N]


class Dreamer:
    """Imagines clips, several in one batch where that is faster.

    The batch has always as many rows, so that a clip is the same whatever else is imagined. Sums are grouped
    by the size of the batch: with another one, where two numbers nearly tie, a token may differ.

    Each takes the memory of a whole context. `weights` is what the model's are kept in.

    Raises:
        ValueError: no such backend, or not on this device; or the model cannot draw so.
    """

    def __init__(
        self,
        world: Playable[Any, Any],
        sampler: SamplerConfig,
        backend: str = "auto",
        batch: int = 16,
        weights: Kind | None = None,
    ):
        self.sampler, self.weights, self.batch = world.resolved(sampler), weights, batch
        self.players = world.players(self.sampler, batch, backend)

    @property
    def backend(self) -> str:
        """What is used, all of it that can change a token."""
        name = self.players.backend.name
        return f"{name}, {self.weights}" if self.weights else name

    def dream(self, starts: Sequence[Start], window: int) -> list[np.ndarray]:
        """The tokens of the imagined frames, int64 [F, N] for each of at most `batch` starts of one shape."""
        players, found = self.players, []
        players.sampler = replace(self.sampler, window=window)
        actions = [torch.from_numpy(start.actions) for start in starts]
        known = len(starts[0].tokens)
        for player, start in enumerate(starts):
            players.enter(player, torch.from_numpy(start.tokens), actions[player][: known - 1])
        for step in range(len(starts[0].uniform)):
            acted = {player: taken[known - 1 + step] for player, taken in enumerate(actions)}
            drawn = {player: start.uniform[step] for player, start in enumerate(starts)}
            moved = players.step(acted, drawn)
            found.append(torch.stack([moved[player] for player in range(len(starts))]))
        return list(torch.stack(found, 1).cpu().numpy())


class Frames:
    """Tokens as frames and frames as tokens, by a frame tokenizer on arrays."""

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
        pieces = torch.from_numpy(rows).split(DECODED)
        return torch.cat([turn(piece.to(self.device)) for piece in pieces]).cpu().numpy()


class DreamStore(Ledger[tuple[str, np.ndarray]]):
    """`imagined.jsonl` and `config.json` in a folder; a repeated command continues a killed one.

    Only tokens are kept: every figure follows from them and from the recordings, so that a new figure costs
    no imagining. `config` is everything that can change a token; errors are those of `Ledger`.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        super().__init__(Path(folder) / "imagined.jsonl", config, _parsed)
        self._tokens = dict(self.records)

    def __contains__(self, key: str) -> bool:
        return key in self._tokens

    def __getitem__(self, key: str) -> np.ndarray:
        """The tokens of a clip, int64 [F, N]."""
        return self._tokens[key]

    def append(self, key: str, tokens: np.ndarray, seconds: float) -> None:
        """Write one line and wait until it is on the disk."""
        record = {"clip": key, "seconds": round(seconds, 4), "tokens": tokens.tolist()}
        self.write(record)
        self._tokens[key] = tokens


@dataclass
class _Line:
    clip: str
    seconds: float
    tokens: list[list[int]]


def _parsed(record: Any, where: str) -> tuple[str, np.ndarray]:
    line: _Line = read_typed(_Line, record, where)
    return line.clip, np.array(line.tokens, np.int64)
