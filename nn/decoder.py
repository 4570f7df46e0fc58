"""A stack of LLaMA blocks over a static cache: the transformer of OpenVLA and of MineWorld."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, Self, cast, get_args

import torch
from torch import Tensor, nn

from playloop.nn.llama import Keep, LlamaBlock, LlamaSizes, RMSNorm

Kernels = Literal["torch", "triton"]
"""Who computes passes of few tokens over a static cache: PyTorch, or on a GPU `playloop.nn.fused`."""
FEW_TOKENS = 128
"""Tokens of a pass, over all rows, up to which it takes longest to read the weights."""


class Cache(Protocol):
    """Where a stack keeps keys and values."""

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values [B, K, n, E] into the slots, [n] or every row's own [B, n]; returns the whole
        layer's, [B, K, S, E]."""


@dataclass
class StaticCache:
    """Buffers of one size for good: nothing is allocated, copied or moved while decoding.

    What a class adds is of the whole batch, or a tensor with a row for each of it.

    Args:
        keys: [B, K, S, E] for each layer, positions applied.
        values: likewise.
    """

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def empty(
        cls,
        sizes: LlamaSizes,
        batch: int,
        length: int,
        dtype: torch.dtype,
        device: torch.device | str,
        **more: Any,
    ) -> Self:
        """Zeros for `length` tokens, and `more` fields of the class."""

        def tensors() -> list[Tensor]:
            shape = batch, sizes.groups, length, sizes.size
            return [torch.zeros(shape, dtype=dtype, device=device) for _ in range(sizes.layers)]

        return cls(tensors(), tensors(), **more)

    @property
    def length(self) -> int:
        """Slots."""
        return self.keys[0].shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return self.keys[0].dtype

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See `Cache`."""
        put(self.keys[layer], slots, keys)
        put(self.values[layer], slots, values)
        return self.keys[layer], self.values[layer]

    def rows(self, chosen: slice) -> Self:
        """Some rows of the batch, as views: what is done to them is done here."""

        def of(value: Any) -> Any:
            if isinstance(value, list):
                return [buffer[chosen] for buffer in value]
            return value[chosen] if isinstance(value, Tensor) else value

        return type(self)(*(of(getattr(self, field.name)) for field in fields(self)))


def put(buffer: Tensor, slots: Tensor, values: Tensor) -> None:
    """Write values [B, C, n, …] into a buffer [B, C, S, …], in place.

    Args:
        buffer: written to.
        slots: along S; [n] for all rows, which is the faster copy, or every row's own, [B, n].
        values: what stands there afterwards.
    """
    if slots.ndim == 1:
        buffer.index_copy_(2, slots, values)
    else:
        index = slots.view(len(slots), 1, -1, *[1] * (buffer.ndim - 3))
        buffer.scatter_(2, index.expand_as(values), values)  # an expanded index takes no memory


@dataclass(frozen=True)
class Recording:
    """A cache that is filled by tokens which see each other and nothing else in it.

    Args:
        cache: that keeps them.
    """

    cache: Cache

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Puts them there and returns them."""
        self.cache.write(layer, slots, keys, values)
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
        """The turn of positions [n] or [B, n]: cosines and sines [n, 1, E / 2] or [B, n, 1, E / 2]."""
        return self.cosines[positions, None], self.sines[positions, None]


class Llama(nn.Module):
    """The blocks and the last norm; embeddings and head belong to whoever uses it."""

    def __init__(self, sizes: LlamaSizes):
        super().__init__()
        self.sizes, self.kernels = sizes, cast(Kernels, "torch")
        self.blocks = nn.ModuleList(
            LlamaBlock(sizes.width, sizes.heads, sizes.groups, sizes.hidden, sizes.eps)
            for _ in range(sizes.layers)
        )
        self.norm = RMSNorm(sizes.width, eps=sizes.eps)

    def layers(self) -> list[LlamaBlock]:
        """The blocks, typed."""
        return cast(list[LlamaBlock], list(self.blocks))

    def choose_kernels(self, kernels: Kernels, dtype: torch.dtype) -> None:
        """Choose who computes passes of few tokens over a static cache, in `dtype`.

        Raises:
            ValueError: no such kernels, or they cannot compute this stack here; says what to use instead.
        """
        if kernels not in get_args(Kernels):
            raise ValueError(f"kernels={kernels!r}: use {' or '.join(get_args(Kernels))}")
        if kernels == "triton":
            if importlib.util.find_spec("triton") is None:
                raise ValueError(
                    "kernels=triton: Triton is not installed; it comes with PyTorch's CUDA builds, "
                    "or use kernels=torch"
                )
            from playloop.nn.fused.block import check_fused

            check_fused(self.layers(), self.sizes, dtype)
        self.kernels = kernels

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        bias: Tensor | None = None,
        cache: Cache | None = None,
        slots: Tensor | None = None,
        wanted: int | None = None,
    ) -> Tensor:
        """x [B, n, D] through all blocks and the norm → [B, n, D], or of the last `wanted` tokens alone.

        Args:
            x: tokens as vectors.
            rotary: cosines and sines of their positions, [n, 1, E / 2] or [B, n, 1, E / 2].
            bias: added to the scores, [n, S] or [B, 1, n, S], minus infinity hides a key; None hides nothing.
            cache: whose S keys are attended to, those of x among them; None: the n keys of x alone.
            slots: in the cache, of the first tokens of x, int64 [written] or each row's own [B, written];
                the others are not kept.
            wanted: see `LlamaBlock.forward`; the last block leaves the others out.
        """
        few = x.shape[0] * x.shape[1] <= FEW_TOKENS
        if self.kernels == "triton" and few and isinstance(cache, StaticCache) and slots is not None:
            from playloop.nn.fused.block import fused_blocks

            kept = list(zip(cache.keys, cache.values, strict=True))
            x = fused_blocks(self.layers(), x, rotary, bias, kept, slots)
            return self.norm(x[:, -(wanted or x.shape[1]) :])
        for layer, block in enumerate(self.layers()):
            last = layer == self.sizes.layers - 1
            x = block(x, rotary, bias, keeper(layer, cache, slots), wanted if last else None)
        return self.norm(x)


def keeper(layer: int, cache: Cache | None, slots: Tensor | None) -> Keep | None:
    """Writes keys and values of the first tokens into a layer's slots, [written] or [B, written], and returns
    the whole layer's; None without a cache."""
    if cache is None or slots is None:
        return None
    written = slots.shape[-1]
    return lambda keys, values: cache.write(layer, slots, keys[:, :, :written], values[:, :, :written])
