"""A pre-norm transformer whose prefix can be computed once and then be attended to many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.nn.decoder import Cache, StaticCache
from playloop.nn.layers import MLP, LayerNorm, Linear


@dataclass
class PrefixCache:
    """A `nn.decoder.Cache` of a prefix alone: what is written stands behind it for one pass and is not kept.

    Keys and values are a tensor [B, heads, P, D / heads] for each layer.
    """

    keys: list[Tensor]
    values: list[Tensor]

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See `Cache`; gradients flow through it."""
        return torch.cat([self.keys[layer], keys], 2), torch.cat([self.values[layer], values], 2)

    def reserve(self, room: int) -> StaticCache:
        """With so many slots behind the prefix: a round writes its keys there and copies no prefix."""
        return StaticCache(*([F.pad(x, (0, 0, 0, room)) for x in half] for half in (self.keys, self.values)))

    def repeat(self, times: int) -> PrefixCache:
        """The same prefix for `times` neighbouring rows."""

        def expand(x: Tensor) -> Tensor:
            return x[:, None].expand(-1, times, -1, -1, -1).flatten(0, 1)

        return PrefixCache([expand(k) for k in self.keys], [expand(v) for v in self.values])


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention, all [B, heads, T, D / heads]; `mask` is True where a query sees a key."""
    if queries.device.type != "cpu":
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    # On CPU the fused kernel's backward pass takes three times as long as these products (bfloat16).
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ values


class Attention(nn.Module):
    """Multi-head attention that shows its keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = Linear(width, width, bias=False)
        self.key_value = Linear(width, 2 * width, bias=False)
        self.out = Linear(width, width, bias=False)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, D] → twice [B, heads, T, D / heads]."""
        keys, values = self.key_value(x).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        mixed = attend(self._split(self.query(x)), keys, values, mask)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attention and MLP, each behind a norm and added to the stream."""

    def __init__(self, width: int, heads: int, expansion: float):
        super().__init__()
        self.norm_attention = LayerNorm(width, bias=False)
        self.attention = Attention(width, heads)
        self.norm_mlp = LayerNorm(width, bias=False)
        self.mlp = MLP(width, int(width * expansion), width)

    def update(
        self, x: Tensor, h: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """The stream `x` [B, Q, D], with `h` its norm, after it attended to keys and values."""
        x = x + self.attention(h, keys, values, mask)
        return x + self.mlp(self.norm_mlp(x))


class Transformer(nn.Module):
    """Three ways through the same blocks: `prefill` a prefix, `extend` it by a block, or both `jointly`."""

    def __init__(self, width: int, layers: int, heads: int, expansion: float):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, expansion) for _ in range(layers))
        self.norm = LayerNorm(width, bias=False)

    def _layers(self) -> list[Block]:
        return cast(list[Block], list(self.blocks))

    def prefill(self, x: Tensor, readout: int) -> tuple[Tensor, PrefixCache]:
        """The cache of the prefix x [B, P, D], and the hidden states of its last `readout` tokens.

        Of the other tokens the last layer gives keys and values only: nobody reads more.
        """
        cache = PrefixCache([], [])
        for index, block in enumerate(self._layers()):
            h = block.norm_attention(x)
            keys, values = block.attention.keys_values(h)
            if index == len(self.blocks) - 1:
                x, h = x[:, -readout:], h[:, -readout:]
            x = block.update(x, h, keys, values)
            cache.keys.append(keys)
            cache.values.append(values)
        return self.norm(x), cache

    def extend(self, x: Tensor, cache: Cache, slots: Tensor) -> Tensor:
        """x [B, T, D], in the cache's slots int64 [T], attends to the prefix and to itself → [B, T, D]."""
        for index, block in enumerate(self._layers()):
            h = block.norm_attention(x)
            keys, values = cache.write(index, slots, *block.attention.keys_values(h))
            x = block.update(x, h, keys, values)
        return self.norm(x)

    def jointly(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """All of x [B, T, D] in one pass; `mask` [T, T] says with True who (row) sees whom (column)."""
        for block in self._layers():
            h = block.norm_attention(x)
            x = block.update(x, h, *block.attention.keys_values(h), mask)
        return self.norm(x)


def prefix_mask(prefix: int, block: int, device: torch.device | None = None) -> Tensor:
    """Who sees whom, [P + T, P + T], where the prefix sees the prefix only and the block sees everything."""
    mask = torch.ones(prefix + block, prefix + block, dtype=torch.bool, device=device)
    mask[:prefix, prefix:] = False
    return mask
