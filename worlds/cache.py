"""The keys and values of the last frames, in a ring."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from playloop.worlds.model import WorldModel


@dataclass
class RingCache:
    """A session's memory: a block of static buffers for each of the last `context` + 1 frames.

    One block more than the context, because a frame's last token is fed together with the next frame's
    action, and still sees the oldest frame of its own context.

    Args:
        keys: [B, K, blocks * slots, E] for each layer, positions applied.
        values: likewise.
        valid: whether a row's block holds a frame of its own session, bool [B, blocks].
        clock: frames written so far; the frame being written lies in block clock % blocks.
        slots: places in a block.
        frame: tokens of the latest frame, int64 [B, N].
        pending: its last token as input, float [B, 1, D]; its place is written with the next frame.
    """

    keys: list[Tensor]
    values: list[Tensor]
    valid: Tensor
    clock: int
    slots: int
    frame: Tensor
    pending: Tensor

    @classmethod
    def empty(
        cls, model: WorldModel, batch: int, dtype: torch.dtype | None = None, buffers: bool = True
    ) -> RingCache:
        """A cache without frames, on the model's device.

        Args:
            model: whose sizes it has.
            batch: sessions.
            dtype: what is computed in, if not the model's own type.
            buffers: False for the bookkeeping alone, where somebody else keeps keys and values.
        """
        config, weight = model.config, model.head.weight
        slots = 1 + config.rows * config.columns
        blocks = config.context + 1
        shape = (batch, config.groups, blocks * slots, config.width // config.heads)

        def tensors() -> list[Tensor]:
            return (
                []
                if not buffers
                else [
                    torch.zeros(shape, dtype=dtype or weight.dtype, device=weight.device)
                    for _ in model.blocks
                ]
            )

        valid = torch.zeros(batch, blocks, dtype=torch.bool, device=weight.device)
        frame = torch.zeros(batch, slots - 1, dtype=torch.int64, device=weight.device)
        pending = torch.zeros(batch, 1, config.width, device=weight.device)
        return cls(tensors(), tensors(), valid, 0, slots, frame, pending)

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return self.keys[0].dtype

    @property
    def blocks(self) -> int:
        """Frames that the ring has place for."""
        return self.valid.shape[1]

    def base(self, age: int = 0) -> int:
        """First place of the block of the frame `age` frames before the one being written."""
        return (self.clock - age) % self.blocks * self.slots

    def open(self) -> None:
        """The block of the frame being written counts as its session's from now on."""
        self.valid[:, self.clock % self.blocks] = True

    def close(self, frame: Tensor, pending: Tensor) -> None:
        """The frame is written; the next one takes the oldest block, which nobody sees from now on.

        Args:
            frame: its tokens, int64 [B, N].
            pending: its last token as input, [B, 1, D].
        """
        self.frame, self.pending = frame, pending
        self.clock += 1
        self.valid[:, self.clock % self.blocks] = False

    def forget(self, rows: Tensor) -> None:
        """Begin new sessions in the rows bool [B]; the others keep their frames."""
        self.valid &= ~rows[:, None]

    def past(self, age: int) -> Tensor:
        """Which places the frame `age` frames ago sees in other frames than itself, bool [B, places]."""
        blocks = torch.arange(self.blocks, device=self.valid.device)
        ages = (self.clock - age - blocks) % self.blocks
        return (self.valid & (ages > 0) & (ages < self.blocks - 1)).repeat_interleave(self.slots, 1)

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values [B, K, n, E] at the places [n]; returns the whole layer's."""
        self.keys[layer].index_copy_(2, places, keys)
        self.values[layer].index_copy_(2, places, values)
        return self.keys[layer], self.values[layer]
