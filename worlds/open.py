"""The kinds of world models that can be played, and the one way to open a folder of any of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from playloop.core.contract import Contract
from playloop.nn.archives import read_archive
from playloop.nn.building import build_outline
from playloop.nn.folder import WEIGHTS, read_record
from playloop.nn.quantize import Kind
from playloop.nn.record import model_kind
from playloop.nn.shards import read_header
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.tokenizers.vq import VQConfig
from playloop.worlds.checkpoint import WORLD, World, compact_form, load_world, world_name
from playloop.worlds.mineworld.files import candidates
from playloop.worlds.mineworld.folder import MINEWORLD, MineWorldPlay, load_mineworld, play_name
from playloop.worlds.mineworld.model import MineWorldConfig
from playloop.worlds.model import WorldConfig
from playloop.worlds.playable import Playable
from playloop.worlds.reading import (
    Form,
    read_conventions,
    read_order,
    read_sizes,
    read_surroundings,
    require,
)


@dataclass(frozen=True)
class Opener:
    """How folders of one kind of world model are read.

    Args:
        playable: what they become.
        sizes: configuration of the model.
        frames: configuration of the frame tokenizer.
        form: of the model's actions, from its sizes; refuses those that are not of this version.
        load: reads a folder onto a device.
        name: names all that decides on the frames of a folder, after a look at its files.
    """

    playable: type[Playable[Any, Any]]
    sizes: type[Any]
    frames: type[Any]
    form: Callable[[Any], Form]
    load: Callable[..., Playable[Any, Any]]
    name: Callable[[Path], str]


OPENERS = {
    WORLD: Opener(World, WorldConfig, FrameTokenizerConfig, compact_form, load_world, world_name),
    MINEWORLD: Opener(
        MineWorldPlay, MineWorldConfig, VQConfig, attrgetter("actions"), load_mineworld, play_name
    ),
}


def opener(folder: str | Path) -> Opener:
    """What opens a folder, by the kind that its `config.json` names.

    Raises:
        FileNotFoundError: it holds a published checkpoint as it came.
        ValueError: what it says is damaged.
    """
    record = Path(folder) / "config.json"
    if record.is_file():
        return OPENERS.get(str(model_kind(read_record(record))), OPENERS[WORLD])
    if found := [file for files in candidates(Path(folder)) for file in files]:
        raise FileNotFoundError(
            f"{folder} holds a published checkpoint; make it playable: "
            f"playloop convert {shlex.quote(str(found[0]))} out=DIR"
        )
    return OPENERS[WORLD]  # which says what is missing


def load_playable(
    folder: str | Path, device: str | torch.device = "cpu", weights: Kind | None = None
) -> Playable[Any, Any]:
    """Read a world model of any kind that can be played, in the precision that its device computes fast in.

    Args:
        folder: of the model.
        device: to run on.
        weights: "int8" or "fp8": of a kind that has `weight_kinds`, those of its blocks in eight bits.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else, or a setting is of another kind of model.
    """
    found = opener(folder)
    if weights is None:
        return found.load(folder, device)
    if not found.playable.weight_kinds:
        raise ValueError(f"weights={weights} is for a MineWorld; {folder} holds another world model")
    return found.load(folder, device, weights=weights)


def read_contract(folder: str | Path) -> tuple[Contract, str]:
    """The contract of the environment that a world model imitates, and the name of the model.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    name = opener(folder).name(Path(folder))
    return read_conventions(Path(folder)), name


def outline(folder: str | Path) -> Playable[Any, Any]:
    """A world model of any kind on the meta device: its sizes, actions and beginnings.

    Args:
        folder: of the model. Of the weights, the header is read: loading checks the rest.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder, found = Path(folder), opener(folder)
    inner = folder / "tokenizer"
    require(folder, "config.json", "contract.json", "starts.npz", "tokenizer/config.json")
    record = read_record(folder / "config.json")
    sizes = read_sizes(record, folder, found.sizes)
    frames = read_sizes(read_record(inner / "config.json"), inner, found.frames)
    around = read_surroundings(folder, sizes, frames, found.form)
    model, tokenizer = _outlined(sizes.make, folder), _outlined(frames.make, inner)
    return found.playable(model, tokenizer, *around, "outline", read_order(record, folder))


def _outlined(make: Callable[[], nn.Module], folder: Path) -> nn.Module:
    """The network without memory, no larger than the header of its weights says."""
    return build_outline(make, read_header(folder / WEIGHTS), folder)


def count_starts(folder: str | Path) -> int:
    """How many beginnings a world model has.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: the file is damaged.
    """
    require(Path(folder), "starts.npz")
    return len(read_archive(Path(folder) / "starts.npz", "tokens")["tokens"])
