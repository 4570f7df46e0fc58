"""Small networks around OpenVLA's language model: projectors into it, and OFT's head that regresses actions.

Their layouts are those of openvla/openvla and moojink/openvla-oft (arXiv 2502.19645).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from playloop.nn.layers import LayerNorm, Linear


class Projector(nn.Module):
    """Features of a patch → a token of the language model, in three layers."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.first = Linear(features, 4 * features)
        self.second = Linear(4 * features, width)
        self.third = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[…, features] → […, width]."""
        return self.third(F.gelu(self.second(F.gelu(self.first(x)))))


class ProprioProjector(nn.Module):
    """The robot's state → a token of the language model."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.first = Linear(size, width)
        self.second = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[…, size] → […, width]."""
        return self.second(F.gelu(self.first(x)))


class ResidualBlock(nn.Module):
    """Norm, layer and ReLU, added to the stream."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = LayerNorm(width)
        self.layer = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.layer(self.norm(x)))


class ActionHead(nn.Module):
    """The states of an action's tokens, side by side → the action's numbers in one step.

    Args:
        width: of a state.
        action: numbers, and tokens, of an action.
    """

    def __init__(self, width: int, action: int):
        super().__init__()
        self.action = action
        self.norm_in = LayerNorm(width * action)
        self.first = Linear(width * action, width)
        self.blocks = nn.Sequential(ResidualBlock(width), ResidualBlock(width))
        self.norm_out = LayerNorm(width)
        self.last = Linear(width, action)

    def forward(self, hidden: Tensor) -> Tensor:
        """States [B, chunk * action, width] → normalised actions [B, chunk, action]."""
        x = hidden.unflatten(1, (-1, self.action)).flatten(2)
        return self.last(self.norm_out(self.blocks(F.relu(self.first(self.norm_in(x))))))
