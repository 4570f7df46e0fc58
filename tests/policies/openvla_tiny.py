"""A small OpenVLA and its inputs, for the tests of networks and files."""

from __future__ import annotations

import torch

from playloop.nn.vit import ViTConfig
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.synthetic import fill, synthetic_config, write_synthetic

TOWERS = (
    ViTConfig(16, 3, 2, 24, image=28, cls=True, registers=4, layer_scale=True),
    ViTConfig(12, 3, 2, 20, image=28),
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model_of(kind, **changes):
    """Four patches a picture; weights of order one in float32."""
    model = OpenVLA(synthetic_config(kind, **{"towers": TOWERS} | changes))
    fill(model, generator(7))
    return model.eval().requires_grad_(False)


def inputs_of(config, batch=2, length=6, seed=1):
    """Pictures [B, I, 6, S, S], state or None, and prompts [B, length]."""
    noise, side = generator(seed), config.image
    images = torch.randn(batch, config.images, config.channels, side, side, generator=noise)
    proprio = None if config.proprio is None else torch.rand(batch, config.proprio, generator=noise) * 2 - 1
    words = torch.randint(3, 30000, (batch, length - 2), generator=noise)
    ends = torch.full((batch, 1), 1), torch.full((batch, 1), 29871)
    return images, proprio, torch.cat([ends[0], words, ends[1]], 1)


def write(folder, kind="oft", seed=0, **changes):
    """A published folder of such sizes."""
    return write_synthetic(folder, seed, kind, towers=TOWERS, **changes)
