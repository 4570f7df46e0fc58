"""MineWorld's published files, read without running what they might hold.

A transformer's file, NAME.ckpt, is a torch pickle with the weights under "state_dict" or bare, the frame
tokenizer's among them; the tokenizer's own file, vae/vae.ckpt, lies beside it with a config.json in the form
of diffusers' VQModel. Sizes are in a YAML file of the code's repository, configs/NAME.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from playloop.core.files import check_pointer, read_json
from playloop.nn.building import bounded
from playloop.nn.contents import contents
from playloop.nn.pickles import read_pickle
from playloop.nn.shards import Entry
from playloop.nn.slots import check_shapes
from playloop.tokenizers.vq import VQConfig, VQTokenizer
from playloop.worlds.mineworld.model import PREFIX, PRESETS, MineWorld, MineWorldConfig

ENDINGS = (".ckpt", ".bin")
"""Endings of a transformer's file in a folder."""
INNER, OUTER = "tokenizer.model.", "model."
"""Prefixes of the tokenizer's names, in the transformer's file and in its own."""
TRAINING_ALONE = ("loss", "discriminator", "perceptual", "lpips")
"""Beginnings of names that only the tokenizer's training needs."""
YAML_PATH = "model.params.transformer_config.params"
YAML_NAMES = {
    "width": "hidden_size",
    "hidden": "intermediate_size",
    "heads": "num_attention_heads",
    "groups": "num_key_value_heads",
    "layers": "num_hidden_layers",
    "vocabulary": "vocab_size",
    "theta": "rope_theta",
    "eps": "rms_norm_eps",
}
VQ_FIXED = {
    "in_channels": 3,
    "out_channels": 3,
    "act_fn": "silu",
    "norm_type": "group",
    "mid_block_add_attention": False,
    "lookup_from_codebook": True,
    "down_block_types": "DownEncoderBlock2D",
    "up_block_types": "UpDecoderBlock2D",
}
"""What a config.json may say and must not say otherwise: there is one such network here."""


class GridMismatch(ValueError):
    """The positions of a model are not those of whole frames of such a grid."""


class SeveralSizes(ValueError):
    """A file without a configuration fits several published models, and its name is none of theirs."""


@dataclass
class Published:
    """A published MineWorld, checked whole; the tensors stay in the file until they are used.

    The transformer's weights have their published names, the tokenizer's no prefix.
    """

    path: Path
    config: MineWorldConfig
    tokenizer: VQConfig
    weights: dict[str, Tensor]
    tokenizer_weights: dict[str, Tensor]


def read_published(
    source: str | Path,
    config: str | Path | None = None,
    rows: int = 14,
    columns: int = 24,
    shapes: bool = False,
) -> Published:
    """Find and check a published MineWorld.

    Args:
        source: the transformer's file, or a folder that holds one, itself or under "checkpoints".
        config: the YAML file; None looks for it beside the file and under "configs", and without one takes
            the published sizes that fit, of several those that the file is called by.
        rows: of a frame's grid of tokens, which no file tells.
        columns: likewise.
        shapes: read no values, only what there is.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, foreign, or of other sizes; says what to do.
    """
    path = find_file(Path(source))
    weights, found, holder = read_halves(path, shapes)
    vq = replace(_vq_config(path), height=rows, width=columns)  # in tokens so far
    vq = replace(vq, height=rows * vq.side, width=columns * vq.side)
    sizes = replace(_sizes(path, config, weights, vq, (rows, columns)), truncate=True)
    _check(_outline(sizes, weights, path), weights, path)
    _check(_outline(vq, found, holder), found, holder)
    return Published(path, sizes, vq, weights, found)


def read_halves(path: Path, shapes: bool) -> tuple[dict[str, Tensor], dict[str, Tensor], Path]:
    """The transformer's tensors, the tokenizer's, and the file that these are in.

    Raises:
        FileNotFoundError: there is no tokenizer.
        ValueError: a file is damaged or foreign.
    """
    tensors = read_pickle(path, shapes)
    weights = _chosen(tensors, PREFIX, PREFIX)
    if not weights:
        raise ValueError(f"{path} is no MineWorld: none of its {len(tensors)} tensors is called {PREFIX}…")
    inner = _chosen(tensors, INNER)
    return weights, *((inner, path) if inner else _outer(path, shapes))


def find_file(source: Path) -> Path:
    """The transformer's file that `source` is or holds.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are several.
    """
    if source.is_file():
        return source
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not there; give a MineWorld .ckpt file or its folder")
    for found in candidates(source):
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found)
            raise ValueError(f"{found[0].parent} holds several models; name one: {names}")
    other = contents(source)
    raise FileNotFoundError(
        f"{source} holds no {' or '.join(ENDINGS)} file{other or '; give the file itself'}"
    )


def candidates(folder: Path) -> list[list[Path]]:
    """Files that may be a transformer's: those in the folder, and those in its "checkpoints"."""
    folders = folder, folder / "checkpoints"
    return [sorted(p for p in parent.glob("*") if p.suffix in ENDINGS and p.is_file()) for parent in folders]


def _chosen(tensors: Mapping[str, Tensor], prefix: str, put: str = "") -> dict[str, Tensor]:
    """The tensors with a prefix, which is replaced, without what only training or tables are for."""
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return {
        put + name: value
        for name, value in found.items()
        if not name.startswith(TRAINING_ALONE) and not name.endswith("rotary_emb.inv_freq")
    }


def _outer(path: Path, shapes: bool) -> tuple[dict[str, Tensor], Path]:
    """The tokenizer from a file of its own."""
    file = path.parent / "vae" / "vae.ckpt"
    if not file.is_file():
        raise FileNotFoundError(f"{path} holds no tokenizer ({INNER}…), and {file} is not there; add it")
    found = _chosen(read_pickle(file, shapes), OUTER)
    if not found:
        raise ValueError(f"{file} holds no tensor called {OUTER}…; it is not MineWorld's tokenizer")
    return found, file


def _outline(config: MineWorldConfig | VQConfig, tensors: Mapping[str, Tensor], path: Path) -> Any:
    """The network that a configuration describes, without memory, and no larger than the file's tensors."""
    entries = {name: Entry(path, "F32", tuple(value.shape)) for name, value in tensors.items()}
    try:
        with torch.device("meta"), bounded(entries):
            return config.make()
    except (ValueError, ArithmeticError, RuntimeError) as error:
        raise ValueError(
            f"{path} does not fit its configuration: {error}; give config=FILE.yaml of this very model"
        ) from error


def _check(model: MineWorld | VQTokenizer, tensors: Mapping[str, Tensor], path: Path) -> None:
    whole = [name for name, value in tensors.items() if not value.is_floating_point()]
    if whole:
        raise ValueError(f"{path}: {whole[0]} is {tensors[whole[0]].dtype}, and weights are floating-point")
    try:
        check_shapes(model, model.slots(), {name: tuple(value.shape) for name, value in tensors.items()})
    except ValueError as error:
        raise ValueError(
            f"{path} does not fit its configuration: {error}. Copy it again, or give config=FILE.yaml of "
            "this very model"
        ) from error


def _vq_config(path: Path) -> VQConfig:
    """The tokenizer's sizes as vae/config.json has them; MineWorld's own without such a file."""
    file = path.parent / "vae" / "config.json"
    if not file.is_file():
        return VQConfig()
    try:
        record = read_json(file)
        channels, latent = tuple(map(int, record["block_out_channels"])), int(record["latent_channels"])
        sizes = [int(record[name]) for name in ("layers_per_block", "num_vq_embeddings", "norm_num_groups")]
        vq = VQConfig(channels=channels, latent=latent, blocks=sizes[0], codes=sizes[1], groups=sizes[2])
        vq = replace(vq, height=vq.side, width=vq.side)
        vq.check()
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{file} is no VQModel's configuration ({error!r}); copy it again") from error
    except ValueError as error:
        if str(file) in str(error):
            raise
        raise ValueError(f"{file}: {error}; copy it again") from error
    strange = {
        name: record[name] for name, value in VQ_FIXED.items() if _differs(record.get(name, value), value)
    }
    if (record.get("vq_embed_dim") or latent) != latent:
        strange["vq_embed_dim"] = record["vq_embed_dim"]
    if strange:
        raise ValueError(f"{file} describes another network than MineWorld's tokenizer: {strange}")
    return vq


def _differs(found: Any, wanted: Any) -> bool:
    return any(item != wanted for item in found) if isinstance(found, list) else found != wanted


def _sizes(
    path: Path,
    config: str | Path | None,
    weights: Mapping[str, Tensor],
    vq: VQConfig,
    grid: tuple[int, int],
) -> MineWorldConfig:
    """The transformer's sizes, from its YAML file or from the list of published ones."""
    around = (path.with_suffix(".yaml"), *(p / "configs" / f"{path.stem}.yaml" for p in path.parents[:2]))
    given = Path(config) if config is not None else next((p for p in around if p.is_file()), None)
    if given is not None:
        return _from_yaml(given, vq, grid)
    embedding = weights.get(f"{PREFIX}model.embed_tokens.weight")
    gate = weights.get(f"{PREFIX}model.layers.0.mlp.gate_proj.weight")
    found = None if embedding is None or gate is None else (embedding.shape[-1], gate.shape[0])
    fitting = [name for name, sizes in PRESETS.items() if (sizes.width, sizes.hidden) == found]
    if not fitting:
        raise ValueError(f"{path} has none of the published sizes; give config=FILE.yaml")
    if len(fitting) > 1 and path.stem not in fitting:  # the context shows in the name alone
        raise SeveralSizes(
            f"{path} may be {' or '.join(fitting)}, which differ in their context alone; give the file the "
            "name of its own, or config=FILE.yaml"
        )
    name = path.stem if path.stem in fitting else fitting[0]
    return replace(PRESETS[name], rows=grid[0], columns=grid[1], codes=vq.codes)


def _whole(value: Any) -> int:
    """A whole number, also where a file has it as text."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value} is no whole number")
    return int(value)


def _from_yaml(path: Path, vq: VQConfig, grid: tuple[int, int]) -> MineWorldConfig:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; give config=FILE.yaml")
    check_pointer(path)
    try:
        found = OmegaConf.select(OmegaConf.load(path), YAML_PATH)
        numbers = {
            ours: (float if ours in ("theta", "eps") else _whole)(found[theirs])
            for ours, theirs in YAML_NAMES.items()
        }
        positions = _whole(found["max_position_embeddings"])
        config = MineWorldConfig(rows=grid[0], columns=grid[1], codes=vq.codes, **numbers)  # type: ignore[arg-type]
    except Exception as error:  # a YAML parser's errors have no common class
        reason = (str(error) or "damaged").splitlines()[0]
        raise ValueError(
            f"{path} lacks a part of {YAML_PATH}, or it is damaged ({type(error).__name__}: {reason}); give "
            "config=FILE.yaml of this very model"
        ) from error
    unit = config.tokens + config.actions.length
    if positions % unit:
        raise GridMismatch(
            f"{path}: max_position_embeddings={positions} is no multiple of {unit}, a frame of {grid[0]} x "
            f"{grid[1]} tokens and its action; give rows= and columns="
        )
    config = replace(config, context=positions // unit)
    try:
        config.check()
    except ValueError as error:
        raise ValueError(f"{path}: {error}; give config=FILE.yaml of this very model") from error
    return config
