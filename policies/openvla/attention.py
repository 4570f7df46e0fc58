"""What sees what in OpenVLA's sequence, as data: one bias, made by one function, checked wherever it is used.

A sequence is a prefix (images, state, prompt) and a block (action tokens and what follows them). The state at
a position predicts the next token, so the prefix's last token predicts the block's first and belongs to it.

causal  OpenVLA: a token sees itself and what came before it.
full    OpenVLA-OFT and Discrete Diffusion VLA as released: every token sees every token.
block   block-causal: the prefix without its last token sees itself; that token and the block see everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.nn.decoder import Rotary
from playloop.nn.llama import LlamaSizes

Mode = Literal["causal", "full", "block"]
MODES: tuple[Mode, ...] = get_args(Mode)


def hidden_keys(mode: Mode, prefix: int, rows: Tensor, keys: Tensor) -> Tensor:
    """Which keys a row does not see, bool [rows, keys].

    Args:
        mode: see above.
        prefix: tokens of it.
        rows: their positions in the sequence, int64 [rows].
        keys: likewise, int64 [keys].
    """
    if mode == "causal":
        return keys > rows[:, None]
    if mode == "full":
        return torch.zeros(len(rows), len(keys), dtype=torch.bool, device=rows.device)
    return (keys >= prefix - 1) & (rows[:, None] < prefix - 1)


def attention_bias(
    mode: Mode,
    prefix: int,
    block: int,
    dtype: torch.dtype,
    device: torch.device | str,
    padding: Tensor | None = None,
) -> Tensor | None:
    """The bias of one pass over prefix and block.

    Args:
        mode: see above.
        prefix: tokens of it.
        block: likewise.
        dtype: of the scores.
        device: of the bias.
        padding: which tokens of the prefix are fillers that nothing may see, bool [B, prefix].

    Returns:
        0 where a key is seen and minus infinity where not, [S, S] or with padding [B, 1, S, S], S = prefix +
        block; None where everything is seen.

    Raises:
        ValueError: there is no such mode.
    """
    return _bias(
        mode,
        prefix,
        range(prefix + block),
        prefix + block,
        torch.zeros((), dtype=dtype, device=device),
        padding,
    )


def _bias(
    mode: Mode, prefix: int, rows: range, keys: int, like: Tensor, padding: Tensor | None
) -> Tensor | None:
    """For some rows of the sequence and a cache of `keys` slots; later ones are still empty."""
    if mode not in MODES:
        raise ValueError(f"attention={mode!r}: choose from {', '.join(MODES)}")
    every = mode == "full" or (mode == "block" and rows.start >= prefix - 1)
    if every and padding is None and keys == rows.stop:
        return None
    slots = torch.arange(keys, device=like.device)
    hidden = hidden_keys(mode, prefix, slots[rows.start : rows.stop], slots) | (slots >= rows.stop)
    if padding is not None:
        fillers = F.pad(padding.to(like.device), (0, keys - prefix))
        hidden = (hidden | fillers[:, None])[:, None]  # [B, 1, rows, keys]
    return like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))


@dataclass(frozen=True)
class Layout:
    """Slots, positions and bias of a sequence, made once and used in every pass over it.

    Args:
        mode: what sees what.
        prefix: tokens of it, fillers included.
        block: tokens of it.
        length: slots of a cache, at least prefix + block.
        rotary: cosines and sines of every slot, [length, 1, E / 2] or with padding [B, length, 1, E / 2].
        bias: of the joint pass, see `attention_bias`.
        padding: fillers of the prefix, bool [B, prefix], or None.
    """

    mode: Mode
    prefix: int
    block: int
    length: int
    rotary: tuple[Tensor, Tensor]
    bias: Tensor | None
    padding: Tensor | None = None

    def __post_init__(self) -> None:
        if self.prefix < 1 or self.length < self.prefix + self.block:
            raise ValueError(
                f"length={self.length} does not hold {self.prefix} tokens of prefix and {self.block} of block"
            )
        cosines = self.rotary[0]
        wanted = attention_bias(
            self.mode, self.prefix, self.block, cosines.dtype, cosines.device, self.padding
        )
        same = wanted is None if self.bias is None else wanted is not None and torch.equal(wanted, self.bias)
        if not same:
            raise ValueError(f"the bias is not that of attention={self.mode!r}; take it from attention_bias")

    @classmethod
    def of(
        cls,
        sizes: LlamaSizes,
        mode: Mode,
        prefix: int,
        block: int,
        dtype: torch.dtype,
        device: torch.device | str,
        padding: Tensor | None = None,
        length: int | None = None,
    ) -> Layout:
        """The layout of a sequence; fillers take no position, so a row's numbers do not depend on them.

        Raises:
            ValueError: the mode is unknown, or the length too small.
        """
        length = prefix + block if length is None else length
        table = Rotary(sizes, length, dtype, device)
        positions = torch.arange(length, device=device)
        if padding is not None:
            if padding.shape[1:] != (prefix,):
                raise ValueError(f"padding has the shape {tuple(padding.shape)}, not [B, {prefix}]")
            real = F.pad(~padding.to(device), (0, length - prefix), value=True)
            positions = (real.cumsum(1) - 1).clamp(min=0)  # [B, length]
        rotary = table.cosines[positions].unsqueeze(-2), table.sines[positions].unsqueeze(-2)
        bias = attention_bias(mode, prefix, block, dtype, device, padding)
        return cls(mode, prefix, block, length, rotary, bias, padding)

    def turn(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of `count` slots from `start`."""
        cosines, sines = (table.narrow(-3, start, count) for table in self.rotary)
        return cosines, sines

    def bias_of(self, start: int, count: int, keys: int) -> Tensor | None:
        """The bias of `count` rows from `start` over a cache of `keys` slots; None where all are seen."""
        if (start, count, keys) == (0, self.prefix + self.block, self.prefix + self.block):
            return self.bias
        cosines = self.rotary[0]
        return _bias(self.mode, self.prefix, range(start, start + count), keys, cosines, self.padding)

    def check(self, prefix: Tensor, block: Tensor) -> None:
        """Refuse a sequence of another form.

        Raises:
            ValueError: lengths, type or device differ from the layout's.
        """
        cosines = self.rotary[0]
        found = prefix.shape[1], block.shape[1], prefix.dtype, prefix.device
        wanted = self.prefix, self.block, cosines.dtype, cosines.device
        if found != wanted:
            names = ("prefix", "block", "type", "device")
            listed = ", ".join(
                f"{n} {f}, not {w}" for n, f, w in zip(names, found, wanted, strict=True) if f != w
            )
            raise ValueError(f"the sequence is not that of the layout: {listed}; make another Layout")
