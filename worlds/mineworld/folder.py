"""A MineWorld as a Playloop folder: made from published files, and read to be played."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from playloop.core.scratch import staged
from playloop.envs.contract import Contract
from playloop.envs.minecraft import ACTION_NAMES
from playloop.nn.folder import WEIGHTS, file_hash, read_config, read_record, write_record
from playloop.nn.precision import native
from playloop.nn.quantize import Kind, quantize
from playloop.nn.record import from_record, to_record
from playloop.nn.shards import read_header, read_tensors
from playloop.nn.slots import Slot, check_shapes, place
from playloop.nn.slots import published as weights_by_name
from playloop.tokenizers.minecraft import MineWorldActions
from playloop.tokenizers.vq import VQConfig, VQTokenizer
from playloop.worlds.decode import SamplerConfig
from playloop.worlds.mineworld.files import Published
from playloop.worlds.mineworld.model import MineWorld, MineWorldConfig
from playloop.worlds.mineworld.sampler import DIAGONAL, MineWorldSampler, Order
from playloop.worlds.mineworld.starts import resize_linear
from playloop.worlds.playable import Playable

MINEWORLD, TOKENIZER = "MineWorld", "VQ tokenizer"
"""Kinds of folders."""


@dataclass
class MineWorldPlay(Playable[MineWorld, VQTokenizer]):
    """A MineWorld, as `worlds.checkpoint.World`; its actions are tokens, int64 [S, T - 1, A].

    Args:
        trained: the order that it was trained for; None where it is not known, as of a published one.
    """

    trained: Order | None = None

    @property
    def actions(self) -> MineWorldActions:
        """Action vectors ↔ tokens."""
        return self.model.config.actions

    @property
    def seen(self) -> int:
        """Frames that a new one can follow from: the context holds the new one, too."""
        return self.model.config.context - 1

    @property
    def windows(self) -> tuple[int, ...]:
        """Of decoding: none stands out, every window can be asked for."""
        return ()

    def resize(self, image: np.ndarray) -> np.ndarray:
        """A picture of any size, uint8 [H, W, 3], as the tokenizer wants it."""
        return resize_linear(image, self.size)

    def check(self, sampler: SamplerConfig) -> None:
        """Refuse what cannot be decoded, and warn of what the model was not trained for.

        Raises:
            ValueError: says which setting.
        """
        MineWorldSampler.of(sampler).check_choices(self.model.config.columns)
        MineWorldSampler.of(sampler).compare(self.trained)

    def resolved(self, sampler: SamplerConfig) -> MineWorldSampler:
        """The sampler with the order that the model was trained for wherever it names none."""
        return MineWorldSampler.of(sampler).resolved(self.trained or DIAGONAL)


def minecraft_contract(config: VQConfig) -> Contract:
    """The conventions of VPT's recordings, which MineWorld was trained on, at the tokenizer's size."""
    return Contract(
        family="minerl",
        action="MineRL 1.0: a button is held for the step if above 0.5, the camera turns by degrees; "
        "ESC ends the episode",
        action_names=ACTION_NAMES,
        control_hz=20.0,
        cameras={"pov": (config.height, config.width)},
        image_convention="upright, resized from 360 x 640 without smoothing (OpenCV's INTER_LINEAR)",
        state_names=(),
        success_rule="none: free play",
        restorable=False,
    )


def save_published(
    folder: Path,
    published: Published,
    dtype: torch.dtype | None,
    starts: tuple[Tensor, Tensor],
    training: dict[str, Any],
) -> Path:
    """Write a checked checkpoint as a folder, whole or not at all.

    The weights keep their published names: what is checked when they are read is what was checked before.

    Args:
        folder: to write; an older one of that name is replaced.
        published: the checkpoint.
        dtype: to keep the weights in; None keeps each as it is.
        starts: tokens [S, T, N] and actions [S, T - 1, A] of clips to begin with.
        training: where it comes from: anything JSON-able.

    Raises:
        ValueError: a weight is no number, or too large for `dtype`.
    """
    with staged(folder) as partial:
        _save_half(partial / "tokenizer", TOKENIZER, published.tokenizer, published.tokenizer_weights, dtype)
        _save_half(partial, MINEWORLD, published.config, published.weights, dtype)
        _save_rest(partial, minecraft_contract(published.tokenizer), starts, training)
    return folder


def save_mineworld(
    folder: Path,
    config: MineWorldConfig,
    state: Mapping[str, Tensor],
    tokenizer: Path,
    dtype: torch.dtype | None,
    contract: Contract,
    starts: tuple[Tensor, Tensor],
    training: dict[str, Any],
    trained: Order,
) -> Path:
    """Write a MineWorld that was trained here as a folder, whole or not at all; names are the published ones.

    Args:
        folder: to write; an older one of that name is replaced.
        config: sizes.
        state: all weights, by the names of `MineWorld.state_dict`.
        tokenizer: folder of its frame tokenizer, which is copied.
        dtype: to keep the weights in; None keeps each as it is.
        contract: of the game whose recordings it was trained on, with the tokenizer's size of frames.
        starts: tokens [S, T, N] and actions [S, T - 1, A] of clips to begin with.
        training: command, data, seed, git …: anything JSON-able.
        trained: the order that it was trained for, in which it is played when none is named.

    Raises:
        ValueError: a weight is no number, or too large for `dtype`.
    """
    with torch.device("meta"):
        model = MineWorld(config)
    model.load_state_dict(state, assign=True)
    with staged(folder) as partial:
        shutil.copytree(tokenizer, partial / "tokenizer")
        _save_half(partial, MINEWORLD, config, weights_by_name(model, model.slots()), dtype, trained)
        _save_rest(partial, contract, starts, training)
    return folder


def _save_half(
    folder: Path,
    kind: str,
    config: MineWorldConfig | VQConfig,
    weights: Mapping[str, Tensor],
    dtype: torch.dtype | None,
    trained: Order | None = None,
) -> None:
    folder.mkdir(exist_ok=True)
    kept = {name: value.to(dtype or value.dtype).contiguous() for name, value in weights.items()}
    wrong = sorted(name for name, value in kept.items() if not value.isfinite().all())
    if wrong:
        raise ValueError(f"{wrong[0]} holds a number that {kept[wrong[0]].dtype} cannot; use dtype=keep")
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # safetensors gives it to the owner alone
    record = {"kind": kind, "model": to_record(config), "weights_sha256": file_hash(folder / WEIGHTS)}
    told = {} if trained is None else {"trained": to_record(trained)}
    write_record(folder / "config.json", record | told)


def _save_rest(
    folder: Path, contract: Contract, starts: tuple[Tensor, Tensor], training: dict[str, Any]
) -> None:
    write_record(folder / "training.json", training)
    write_record(folder / "contract.json", contract.to_json())
    tokens, actions = (part.cpu().numpy().astype(np.int16) for part in starts)
    np.savez_compressed(folder / "starts.npz", allow_pickle=False, tokens=tokens, actions=actions)


def load_mineworld(
    folder: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    weights: Kind | None = None,
) -> MineWorldPlay:
    """Read a MineWorld to play it.

    Args:
        folder: that `playloop convert` wrote.
        device: to run on.
        dtype: to compute in; None for float16 on a GPU, as the release, and what a CPU multiplies fastest.
        weights: "int8" or "fp8" keeps those of the transformer's blocks in eight bits; None as they are.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder, device = Path(folder), torch.device(device)
    dtype = dtype or (native(device) if device.type == "cpu" else torch.float16)
    config = from_record(read_config(folder, MINEWORLD)["model"], (MineWorldConfig,))
    missing = [name for name in ("contract.json", "starts.npz", "tokenizer") if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {' and '.join(missing)}; copy it again")
    with torch.device("meta"):
        model = MineWorld(config)
    _fill(model, model.slots(), folder, device, dtype)
    if weights is not None:
        quantize(model.llama, weights)
    with np.load(folder / "starts.npz", allow_pickle=False) as stored:
        starts, actions = (torch.from_numpy(stored[n].astype(np.int64)) for n in ("tokens", "actions"))
    tokenizer = load_vq(folder / "tokenizer", device, dtype)
    contract = Contract.from_json(read_record(folder / "contract.json"))
    name, trained = play_name(folder), trained_order(folder)
    return MineWorldPlay(model, tokenizer, contract, starts.to(device), actions.to(device), name, trained)


def trained_order(folder: str | Path) -> Order | None:
    """The order that a folder's model was trained for; None where it is not known, as of a published one.

    Raises:
        ValueError: its record is damaged.
    """
    order: Order | None = from_record(read_record(Path(folder) / "config.json").get("trained"), (Order,))
    return order


def load_vq(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VQTokenizer:
    """Read a MineWorld's frame tokenizer, which computes in `dtype`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder = Path(folder)
    config = from_record(read_config(folder, TOKENIZER)["model"], (VQConfig,))
    with torch.device("meta"):
        tokenizer = VQTokenizer(config)
    slots = {name: Slot(name) for name, _ in tokenizer.named_parameters()}
    _fill(tokenizer, slots, folder, torch.device(device), dtype)
    # What torch declares leaves memory_format out.
    return tokenizer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fill(
    model: nn.Module, slots: Mapping[str, Slot], folder: Path, device: torch.device, dtype: torch.dtype
) -> None:
    """Give a model on the meta device its weights, one tensor at a time."""
    entries = read_header(folder / WEIGHTS)
    try:
        check_shapes(model, slots, {name: entry.shape for name, entry in entries.items()})
    except ValueError as error:
        raise ValueError(f"{folder}: weights do not fit the configuration: {error}; copy it again") from error
    model.to(dtype).to_empty(device=device)
    place(model, slots, read_tensors(entries, slots))
    model.eval().requires_grad_(False)


def play_name(folder: Path) -> str:
    """A name for all that decides on the frames, from what `config.json` says of the weights, of the order
    that they are played in, and of the ids that turns have."""
    records = [read_record(path / "config.json") for path in (folder, folder / "tokenizer")]
    both = "".join(record["weights_sha256"][:12] for record in records)
    told = {"trained": records[0].get("trained"), "truncate": records[0]["model"].get("truncate")}
    if any(told.values()):  # folders that say nothing of it keep their names
        both += json.dumps(told, sort_keys=True)
    return hashlib.sha256(both.encode()).hexdigest()[:12]
