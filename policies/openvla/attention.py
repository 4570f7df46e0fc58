"""What sees what in OpenVLA's sequence, as data, made by one function and used in every pass.

A sequence is a prefix (images, state, prompt) and a block (action tokens and what follows them). The state at
a position predicts the next token, so the prefix's last token predicts the block's first and belongs to it.

causal  OpenVLA: a token sees itself and what came before it.
full    OpenVLA-OFT and Discrete Diffusion VLA as released: every token sees every token.
block   block-causal: the prefix without its last token sees itself; that token and the block see everything.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.nn.decoder import Rotary
from playloop.nn.llama import LlamaSizes

Mode = Literal["causal", "full", "block"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Layout:
    """Slots, positions and bias of a sequence, made once and used in every pass over it.

    Fillers take no position, so a row's numbers do not depend on them.

    Args:
        sizes: of the language model.
        mode: what sees what.
        prefix: tokens of it, fillers included.
        block: tokens of it.
        dtype: to compute in.
        device: of the tables.
        padding: which tokens of the prefix are fillers that nothing may see, bool [B, prefix], or None.
        length: slots of a cache; None: as many as prefix and block have tokens.

    Raises:
        ValueError: the mode is unknown, or a size does not fit.
    """

    def __init__(
        self,
        sizes: LlamaSizes,
        mode: Mode,
        prefix: int,
        block: int,
        dtype: torch.dtype,
        device: torch.device | str,
        padding: Tensor | None = None,
        length: int | None = None,
    ):
        if mode not in MODES:
            raise ValueError(f"attention={mode!r}: choose from {', '.join(MODES)}")
        count = prefix + block
        length = count if length is None else length
        if prefix < 1 or length < count:
            raise ValueError(f"length={length} does not hold {prefix} tokens of prefix and {block} of block")
        self.mode, self.prefix, self.block, self.length, self.padding = mode, prefix, block, length, padding
        positions = torch.arange(length, device=device)
        if padding is not None:
            if padding.shape[1:] != (prefix,):
                raise ValueError(f"padding has the shape {tuple(padding.shape)}, not [B, {prefix}]")
            real = F.pad(~padding.to(device), (0, length - prefix), value=True)
            positions = (real.cumsum(1) - 1).clamp(min=0)  # [B, length]
        self.rotary = Rotary(sizes, length, dtype, device).at(positions)
        self.bias = self.bias_of(0, count, count)

    def turn(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of `count` slots from `start`."""
        cosines, sines = (table.narrow(-3, start, count) for table in self.rotary)
        return cosines, sines

    def bias_of(self, start: int, count: int, keys: int) -> Tensor | None:
        """The bias of `count` rows from `start` over a cache of `keys` slots, of which later ones are empty.

        Returns:
            0 where a key is seen and minus infinity where not, [count, keys] or with padding [B, 1, count,
            keys]; None where all are seen.
        """
        like, first = self.rotary[0], self.prefix - 1
        every = self.mode == "full" or (self.mode == "block" and start >= first)
        if every and self.padding is None and keys == start + count:
            return None
        slots = torch.arange(keys, device=like.device)
        chosen = slots[start : start + count, None]
        hidden = (slots >= start + count).expand(count, -1)
        if self.mode == "causal":
            hidden = hidden | (slots > chosen)
        elif self.mode == "block":
            hidden = hidden | ((slots >= first) & (chosen < first))
        if self.padding is not None:
            fillers = F.pad(self.padding.to(like.device), (0, keys - self.prefix))
            hidden = (hidden | fillers[:, None])[:, None]
        return like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))

    def check(self, prefix: Tensor, block: Tensor) -> None:
        """Refuse a sequence of another form.

        Raises:
            ValueError: lengths, type or device differ from the layout's.
        """
        like = self.rotary[0]
        pairs = {
            "prefix": (prefix.shape[1], self.prefix),
            "block": (block.shape[1], self.block),
            "type": (prefix.dtype, like.dtype),
            "device": (prefix.device, like.device),
        }
        if wrong := [f"{name} {found}, not {own}" for name, (found, own) in pairs.items() if found != own]:
            raise ValueError(
                f"the sequence is not that of the layout: {', '.join(wrong)}; make another Layout"
            )
