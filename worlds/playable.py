"""A world model of any kind with all that playing in it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from playloop.core.contract import Contract
from playloop.tokenizers.frames import FrameTokenizer
from playloop.tokenizers.vq import VQTokenizer

Model = TypeVar("Model", bound=nn.Module)
Frames = TypeVar("Frames", FrameTokenizer, VQTokenizer)


@dataclass
class Playable(Generic[Model, Frames]):
    """What `worlds.checkpoint.World` and `worlds.mineworld.folder.MineWorldPlay` are made of.

    Args:
        model: frames' tokens and actions → next frame's tokens.
        tokenizer: frames ↔ tokens.
        contract: of the environment that it imitates.
        starts: tokens int64 [S, T, N] of clips that play can begin with.
        start_actions: actions between their frames as the model takes them, int64 [S, T - 1, G].
        name: of its weights and its tokenizer's.
    """

    model: Model
    tokenizer: Frames
    contract: Contract
    starts: Tensor
    start_actions: Tensor
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the tokenizer's frames."""
        return self.tokenizer.config.height, self.tokenizer.config.width
