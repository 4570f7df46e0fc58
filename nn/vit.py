"""A vision transformer in timm's layout (arXiv 2010.11929), as DINOv2 with registers and SigLIP use it.

It returns the patches as the last but one block leaves them: the last block, the final norm and the pooling
of published files are not built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.layers import Conv2d, LayerNorm, Linear
from playloop.nn.llama import attend_grouped

Modulation = tuple[Tensor, Tensor]
"""Scale and shift of a block's stream, [B, 1, width] each."""


@kind("vit")
@checked(frozen=True)
class ViTConfig:
    """Sizes of a published vision transformer.

    Args:
        width: of the stream.
        blocks: that the published model has; one fewer are built.
        heads: of the attention.
        hidden: width inside the MLPs.
        image: side of the square picture, pixels.
        patch: side of a patch, pixels.
        cls: whether a class token stands in front.
        registers: further tokens in front.
        layer_scale: whether each branch is scaled, channel by channel.
        no_embed_class: positions belong to the patches only, not to the tokens in front (timm's name).
        eps: of the norms.
    """

    width: int
    blocks: int
    heads: int
    hidden: int
    image: int = 224
    patch: int = 14
    cls: bool = False
    registers: int = 0
    layer_scale: bool = False
    no_embed_class: bool = True
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.width % self.heads or self.image % self.patch:
            raise ValueError(
                f"width={self.width} must be a multiple of heads={self.heads}, and image={self.image} of "
                f"patch={self.patch}"
            )
        if self.blocks < 2:
            raise ValueError(f"blocks={self.blocks}: the last but one is read, so two are needed")

    @property
    def built(self) -> int:
        """Blocks that are run."""
        return self.blocks - 1

    @property
    def front(self) -> int:
        """Tokens in front of the patches."""
        return int(self.cls) + self.registers

    @property
    def patches(self) -> int:
        """Tokens of a picture."""
        return (self.image // self.patch) ** 2

    @property
    def positions(self) -> int:
        """Rows of the table of positions."""
        return self.patches + (0 if self.no_embed_class else self.front)


class ViTBlock(nn.Module):
    """Attention and MLP, each behind a norm, scaled if wanted, and added to the stream."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_attention = LayerNorm(width, eps=config.eps)
        self.project = Linear(width, 3 * width)  # queries | keys | values
        self.out = Linear(width, width)
        self.norm_mlp = LayerNorm(width, eps=config.eps)
        self.inner = Linear(width, config.hidden)
        self.outer = Linear(config.hidden, width)
        self.scale_attention = nn.Parameter(torch.ones(width)) if config.layer_scale else None
        self.scale_mlp = nn.Parameter(torch.ones(width)) if config.layer_scale else None

    def attend(self, x: Tensor) -> Tensor:
        """Every token sees every token: x [B, T, D] → [B, T, D]."""
        parts = self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [3, B, H, T, E]
        return self.out(attend_grouped(*parts.unbind(0)).transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, modulation: Modulation | None = None) -> Tensor:
        """x [B, T, D] → [B, T, D]; the modulation acts between attention and MLP."""
        x = x + _scaled(self.attend(self.norm_attention(x)), self.scale_attention)
        if modulation is not None:
            scale, shift = modulation
            x = x * (1 + scale) + shift
        return x + _scaled(self.outer(F.gelu(self.inner(self.norm_mlp(x)))), self.scale_mlp)


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    return x if scale is None else x * scale.to(x.dtype)


class FiLM(nn.Module):
    """Scales and shifts of every block from one condition (arXiv 1709.07871, in OpenVLA-OFT's form)."""

    def __init__(self, condition: int, config: ViTConfig):
        super().__init__()
        self.scales = nn.ModuleList(Linear(condition, config.width) for _ in range(config.built))
        self.shifts = nn.ModuleList(Linear(condition, config.width) for _ in range(config.built))

    def forward(self, condition: Tensor) -> list[Modulation]:
        """Condition [B, C] → one modulation a block."""
        pairs = zip(self.scales, self.shifts, strict=True)
        return [(scale(condition)[:, None], shift(condition)[:, None]) for scale, shift in pairs]


class ViT(nn.Module):
    """Pictures → patches of the last but one block, without a final norm."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        self.patches = Conv2d(3, config.width, config.patch, stride=config.patch)
        self.positions = nn.Parameter(torch.zeros(1, config.positions, config.width))
        self.cls = nn.Parameter(torch.zeros(1, 1, config.width)) if config.cls else None
        registers = torch.zeros(1, config.registers, config.width)
        self.registers = nn.Parameter(registers) if config.registers else None
        self.blocks = nn.ModuleList(ViTBlock(config) for _ in range(config.built))

    def embed(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] → the stream before the first block, [B, front + patches, D]."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        positions = self.positions.to(x.dtype)
        front = [token.to(x.dtype) for token in (self.cls, self.registers) if token is not None]
        if self.config.no_embed_class:
            x = x + positions
        x = torch.cat([*(token.expand(len(x), -1, -1) for token in front), x], dim=1)
        return x if self.config.no_embed_class else x + positions

    def forward(self, images: Tensor, modulations: Sequence[Modulation] | None = None) -> Tensor:
        """Images [B, 3, S, S], normalised, and a modulation for each block that is built → [B, patches, D].

        Raises:
            ValueError: the images have another shape.
        """
        side = self.config.image
        if images.shape[1:] != (3, side, side):
            raise ValueError(f"images have the shape {tuple(images.shape)}, not [B, 3, {side}, {side}]")
        x = self.embed(images)
        for number, block in enumerate(cast(list[ViTBlock], list(self.blocks))):
            x = block(x, None if modulations is None else modulations[number])
        return x[:, self.config.front :]
