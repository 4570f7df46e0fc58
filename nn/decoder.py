"""A stack of LLaMA blocks over a static cache: the transformer of OpenVLA and of MineWorld."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from playloop.nn.llama import Keep, LlamaBlock, RMSNorm


@dataclass(frozen=True)
class LlamaSizes:
    """Sizes of a stack.

    Args:
        width: of the stream.
        layers: blocks.
        heads: of queries.
        groups: heads of keys and values.
        hidden: width inside the MLPs.
        eps: of the norms.
        theta: base of the rotary positions.
    """

    width: int = 4096
    layers: int = 32
    heads: int = 32
    groups: int = 32
    hidden: int = 11008
    eps: float = 1e-6
    theta: float = 10000.0

    @property
    def size(self) -> int:
        """Of a head."""
        return self.width // self.heads


class Cache(Protocol):
    """Where a stack keeps keys and values."""

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values [B, K, n, E] at the places [n]; returns the whole layer's, [B, K, S, E]."""


@dataclass
class StaticCache:
    """Buffers of one size for good: nothing is allocated, copied or moved while decoding.

    Args:
        keys: [B, K, S, E] for each layer, positions applied.
        values: likewise.
    """

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def empty(
        cls, sizes: LlamaSizes, batch: int, length: int, dtype: torch.dtype, device: torch.device | str
    ) -> StaticCache:
        """Zeros for `length` tokens."""

        def tensors() -> list[Tensor]:
            shape = batch, sizes.groups, length, sizes.size
            return [torch.zeros(shape, dtype=dtype, device=device) for _ in range(sizes.layers)]

        return cls(tensors(), tensors())

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See `Cache`."""
        self.keys[layer].index_copy_(2, places, keys)
        self.values[layer].index_copy_(2, places, values)
        return self.keys[layer], self.values[layer]


@dataclass(frozen=True)
class Recording:
    """A cache that is filled by tokens which see each other and nothing else in it.

    Args:
        cache: that keeps them.
    """

    cache: Cache

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Puts them there and returns them."""
        self.cache.write(layer, places, keys, values)
        return keys, values


class Rotary:
    """Cosines and sines of every position, computed in float32 and kept in the type that is computed in.

    Args:
        sizes: of the stack.
        length: positions from 0.
        dtype: to compute in.
        device: of the tables.
    """

    def __init__(self, sizes: LlamaSizes, length: int, dtype: torch.dtype, device: torch.device | str):
        powers = torch.arange(0, sizes.size, 2, dtype=torch.int64).float() / sizes.size
        angles = torch.outer(torch.arange(length).float(), 1.0 / sizes.theta**powers)  # [length, E / 2]
        self.cosines, self.sines = (f(angles).to(device, dtype) for f in (torch.cos, torch.sin))

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Of positions [n]: cosines and sines [n, 1, E / 2]."""
        return self.cosines[positions, None], self.sines[positions, None]


class Llama(nn.Module):
    """The blocks and the last norm; embeddings and head belong to whoever uses it."""

    def __init__(self, sizes: LlamaSizes):
        super().__init__()
        self.sizes = sizes
        self.blocks = nn.ModuleList(
            LlamaBlock(sizes.width, sizes.heads, sizes.groups, sizes.hidden, sizes.eps)
            for _ in range(sizes.layers)
        )
        self.norm = RMSNorm(sizes.width, eps=sizes.eps)

    def layers(self) -> list[LlamaBlock]:
        """The blocks, typed."""
        return cast(list[LlamaBlock], list(self.blocks))

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        bias: Tensor | None = None,
        cache: Cache | None = None,
        places: Tensor | None = None,
        wanted: int | None = None,
    ) -> Tensor:
        """x [B, n, D] through all blocks and the norm → [B, n, D], or of the last `wanted` tokens alone.

        Args:
            x: tokens as vectors.
            rotary: cosines and sines of their positions, [n, 1, E / 2].
            bias: added to the scores, [n, S] or [B, 1, n, S], minus infinity hides a key; None hides nothing.
            cache: whose S keys are attended to, those of x among them; None: the n keys of x alone.
            places: in the cache, of the first tokens of x, int64 [written]; the others are not kept.
            wanted: see `LlamaBlock.forward`; the last block leaves the others out.
        """
        for layer, block in enumerate(self.layers()):
            last = layer == self.sizes.layers - 1
            x = block(x, rotary, bias, _keeper(layer, cache, places), wanted if last else None)
        return self.norm(x)


def _keeper(layer: int, cache: Cache | None, places: Tensor | None) -> Keep | None:
    """Writes a layer's keys and values at the places; None without a cache."""
    if cache is None or places is None:
        return None
    written = len(places)
    return lambda keys, values: cache.write(layer, places, keys[:, :, :written], values[:, :, :written])
