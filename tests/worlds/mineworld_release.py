"""A small MineWorld in the published file formats, with weights from a seed, to try what files go through.

The layout is that of the release: checkpoints/NAME.ckpt, checkpoints/vae/{vae.ckpt, config.json} and
configs/NAME.yaml. The transformer's file holds the tokenizer too, and what a training run leaves behind.
"""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor

from playloop.core.scratch import staged
from playloop.nn.folder import write_record
from playloop.nn.slots import published
from playloop.tokenizers.minecraft import MineWorldActions
from playloop.tokenizers.vq import VQConfig, VQTokenizer
from playloop.worlds.mineworld.files import INNER, OUTER, YAML_NAMES, YAML_PATH
from playloop.worlds.mineworld.model import MineWorld, MineWorldConfig

TINY_VQ = VQConfig(height=32, width=64, channels=(8, 8, 16, 16, 24), blocks=1, latent=6, codes=48, groups=4)
TINY = MineWorldConfig(
    rows=2,
    columns=4,
    codes=TINY_VQ.codes,
    vocabulary=MineWorldActions(TINY_VQ.codes).ids.stop + 2,  # two ids are unused, as in the release
    width=32,
    layers=2,
    heads=4,
    groups=2,
    hidden=48,
    context=4,
)
"""Sizes of which a frame takes milliseconds; every ratio of the released models that matters is kept."""


def write_synthetic(
    folder: str | Path,
    seed: int = 0,
    config: MineWorldConfig = TINY,
    tokenizer: VQConfig = TINY_VQ,
    name: str = "tiny_4f",
    dtype: torch.dtype = torch.float32,
    inside: bool = True,
) -> Path:
    """Write a checkpoint as the authors would have.

    Args:
        folder: to write.
        seed: of the weights.
        config: sizes of the transformer.
        tokenizer: sizes of the frame tokenizer.
        name: of the files.
        dtype: of the weights.
        inside: whether the transformer's file holds the tokenizer too.

    Returns:
        The transformer's file.
    """
    model, vq = config.make(seed), tokenizer.make(seed + 1)
    enliven(model, vq)
    weights = published(model, model.slots())
    inner = {INNER + key: value for key, value in vq.state_dict().items()} if inside else {}
    outer = {OUTER + key: value for key, value in vq.state_dict().items()}
    extra = {"loss.discriminator.main.0.weight": torch.zeros(2, 3)}
    with staged(Path(folder)) as partial:
        vae = partial / "checkpoints" / "vae"
        vae.mkdir(parents=True)
        (partial / "configs").mkdir()
        content = {"state_dict": _cast(weights | inner, dtype), "global_step": 200_000}
        torch.save(content, partial / "checkpoints" / f"{name}.ckpt")
        torch.save({"state_dict": _cast(outer | extra, dtype)}, vae / "vae.ckpt")
        write_record(vae / "config.json", vq_record(tokenizer))
        OmegaConf.save(yaml_record(config), partial / "configs" / f"{name}.yaml")
    return Path(folder) / "checkpoints" / f"{name}.ckpt"


@torch.no_grad()
def enliven(model: MineWorld, tokenizer: VQTokenizer) -> None:
    """Make new weights act as trained ones do: actions change frames, and the codes are those of pictures."""
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.mul_(6.0)
    config, rng = tokenizer.config, torch.Generator().manual_seed(0)
    count = -(-config.codes // tokenizer.tokens)
    blocks = torch.randint(0, 256, (count, *config.grid, 3), generator=rng, dtype=torch.uint8)
    images = blocks.repeat_interleave(config.side, 1).repeat_interleave(config.side, 2)
    latents = torch.cat([tokenizer.latents(image[None]) for image in images]).flatten(0, 1)
    tokenizer.quantize.embedding.weight.copy_(latents[: config.codes])


def vq_record(config: VQConfig) -> dict[str, object]:
    """`config.json` as diffusers' VQModel writes it."""
    depth = len(config.channels)
    return {
        "_class_name": "VQModel",
        "_diffusers_version": "0.32.2",
        "act_fn": "silu",
        "block_out_channels": list(config.channels),
        "down_block_types": ["DownEncoderBlock2D"] * depth,
        "in_channels": 3,
        "latent_channels": config.latent,
        "layers_per_block": config.blocks,
        "lookup_from_codebook": True,
        "mid_block_add_attention": False,
        "norm_num_groups": config.groups,
        "norm_type": "group",
        "num_vq_embeddings": config.codes,
        "out_channels": 3,
        "sample_size": 32,
        "scaling_factor": 0.18215,
        "up_block_types": ["UpDecoderBlock2D"] * depth,
        "vq_embed_dim": config.latent,
    }


def yaml_record(config: MineWorldConfig) -> dict[str, object]:
    """The YAML file's content."""
    values = {theirs: getattr(config, ours) for ours, theirs in YAML_NAMES.items()}
    values |= {"max_position_embeddings": config.positions, "torch_dtype": "bfloat16"}
    record: dict[str, object] = values
    for key in reversed(YAML_PATH.split(".")):
        record = {key: record}
    return record


def _cast(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Each in memory of its own: views of one tensor would be saved as such."""
    return {name: value.detach().to(dtype, copy=True) for name, value in tensors.items()}
