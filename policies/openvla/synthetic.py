"""A checkpoint of random weights and small sizes in the full published layout: for tests and dry runs.

Its ids are the published ones, so the table of tokens keeps its 32,064 rows; everything else is small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from playloop.nn.llama import LlamaSizes
from playloop.nn.vit import ViTConfig
from playloop.policies.openvla.config import OpenVLAConfig
from playloop.policies.openvla.files import write_openvla
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.pickles import Step
from playloop.policies.openvla.synthetic_tokenizer import synthetic_tokenizer

Kind = Literal["openvla", "oft", "parallel", "diffusion"]

TOWERS = (
    ViTConfig(24, 3, 2, 48, cls=True, registers=4, layer_scale=True),
    ViTConfig(16, 3, 2, 40),
)
LLAMA = LlamaSizes(width=32, layers=2, heads=2, groups=2, hidden=64)

KINDS: dict[Kind, dict[str, Any]] = {
    "openvla": {},
    "oft": {"decoders": ("l1",), "l1": True, "attention": "full"},
    "parallel": {"decoders": ("parallel",), "attention": "full"},
    "diffusion": {"decoders": ("diffusion",), "attention": "full"},
}
"""What sets a kind of checkpoint apart; the others read two pictures and a state and give 8 actions."""


def synthetic_config(kind: Kind, **changes: Any) -> OpenVLAConfig:
    """Small sizes for a kind of checkpoint.

    Args:
        kind: "openvla" (token by token), "oft" (regression), "parallel" (tokens in one pass) or "diffusion".
        changes: fields of `OpenVLAConfig`.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: choose from {', '.join(KINDS)}")
    fields: dict[str, Any] = {"towers": TOWERS, "llama": LLAMA}
    if kind != "openvla":
        fields |= {"images": 2, "proprio": 8, "chunk": 8}
    return OpenVLAConfig(**fields | KINDS[kind] | changes)


def synthetic_statistics(
    config: OpenVLAConfig, generator: torch.Generator, key: str = "libero_object_no_noops"
) -> dict[str, Any]:
    """Statistics of a data set that never was, in the published form."""
    return {
        key: {
            "action": _moments(config.action, generator, gripper=True),
            "proprio": _moments(config.proprio or 8, generator, gripper=False),
            "num_transitions": 1000,
            "num_trajectories": 10,
        }
    }


def _moments(size: int, generator: torch.Generator, gripper: bool) -> dict[str, Any]:
    low = -0.2 - torch.rand(size, generator=generator)
    high = 0.2 + torch.rand(size, generator=generator)
    if gripper:  # not normalised: 0 shut, 1 open
        low[-1], high[-1] = 0.0, 1.0
    values = {"mean": (low + high) / 2, "std": (high - low) / 4, "max": high, "min": low}
    values |= {
        "q01": 0.9 * low,
        "q99": 0.9 * high if not gripper else torch.cat([0.9 * high[:-1], high[-1:]]),
    }
    record: dict[str, Any] = {name: value.tolist() for name, value in values.items()}
    return record | ({"mask": [True] * (size - 1) + [False]} if gripper else {})


@torch.no_grad()
def fill(model: OpenVLA, generator: torch.Generator) -> None:
    """Random weights that keep activations of order one: norms and scales are near 1."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1 and name.endswith("bias"):
            value = 0.1 * noise
        elif parameter.ndim == 1:
            value = 1 + 0.1 * noise
        elif ".films." in f".{name}":
            value = 0.1 * noise / parameter.shape[1] ** 0.5
        elif parameter.ndim == 3 or name == "table.weight":
            value = noise
        else:
            value = noise / parameter[0].numel() ** 0.5
        parameter.copy_(value)


def write_synthetic(
    folder: str | Path,
    seed: int,
    kind: Kind = "openvla",
    *,
    key: str = "libero_object_no_noops",
    dtype: torch.dtype = torch.bfloat16,
    step: Step = 150000,
    limit: int = 2_000_000,
    **changes: Any,
) -> Path:
    """Write a synthetic checkpoint: config, shards and index, statistics, tokenizer, OFT's further files.

    Args:
        folder: to write.
        seed: of weights and statistics.
        kind: see `synthetic_config`.
        key: of the data set in the statistics.
        dtype: of the weights.
        step: in the names of OFT's files.
        limit: bytes of a shard.
        changes: fields of `OpenVLAConfig`, `film=True` for instance.
    """
    generator = torch.Generator().manual_seed(seed)
    config = synthetic_config(kind, **changes)
    model = OpenVLA(config)
    fill(model, generator)
    statistics = synthetic_statistics(config, generator, key)

    def noise(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator)

    return write_openvla(
        folder,
        model.to(dtype),
        statistics,
        synthetic_tokenizer("diffusion" in config.decoders),
        step=step,
        limit=limit,
        unused=noise,
    )
