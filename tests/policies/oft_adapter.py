"""An adapter as OpenVLA-OFT's training leaves it, of random numbers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from playloop.nn.shards import read_shards, read_tensors

ALPHA = 8


def write_oft_adapter(base: Path, folder: Path, rank: int = 4, film: bool = False) -> dict[str, torch.Tensor]:
    """One beside every layer that PEFT 0.11.1 takes for `target_modules="all-linear"`; its factors.

    It goes by the last part of a layer's name: the patches' convolution is taken with the attention's `proj`,
    and the head stays in. Last blocks and SigLIP's pooling, which nothing reads, are adapted, too. With FiLM
    the vision transformers have the names within OFT's wrapper.
    """
    shapes = {name: entry.shape for name, entry in read_shards(base).items() if len(entry.shape) > 1}
    matrices = {name for name in shapes if name.endswith(".weight") and "embed_tokens" not in name}
    generator, factors = torch.Generator().manual_seed(1), {}
    for name in sorted(matrices):
        rows, *window = shapes[name]
        pairs = {"A": (rank, *window), "B": (rows, rank, *(1 for _ in window[1:]))}
        layer = name.removesuffix(".weight")
        if film and layer.startswith("vision_backbone."):
            head, inside, rest = layer.partition(".blocks.")
            number, _, rest = rest.partition(".")
            layer = f"vision_backbone.{head}" + (f".blocks.{number}.block.{rest}" if inside else "")
        for part, shape in pairs.items():
            values = 0.1 * torch.randn(shape, generator=generator)
            factors[f"base_model.model.{layer}.lora_{part}.weight"] = values
    head = "language_model.lm_head"
    (_, weight), *_ = read_tensors(read_shards(base), [f"{head}.weight"])
    factors[f"base_model.model.{head}.base_layer.weight"] = weight.float()  # PEFT finds it among the targets
    folder.mkdir(parents=True)
    save_file(factors, folder / "adapter_model.safetensors")
    targets = sorted({name.split(".")[-2] for name in matrices})
    record = {"peft_type": "LORA", "r": rank, "lora_alpha": ALPHA, "target_modules": targets, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(record))
    return factors
