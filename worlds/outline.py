"""A world model without its weights: what can be asked of it before gigabytes are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from playloop.nn.archives import read_archive
from playloop.nn.building import build_outline
from playloop.nn.folder import WEIGHTS, read_record
from playloop.nn.shards import read_header
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.tokenizers.vq import VQConfig
from playloop.worlds.checkpoint import World, is_mineworld, read_surroundings
from playloop.worlds.mineworld.folder import MineWorldPlay, trained_order
from playloop.worlds.mineworld.folder import read_surroundings as mineworld_surroundings
from playloop.worlds.mineworld.model import MineWorldConfig
from playloop.worlds.model import WorldConfig
from playloop.worlds.reading import read_sizes, require

Network = TypeVar("Network", bound=nn.Module)


def outline(folder: str | Path) -> World | MineWorldPlay:
    """A world model of any kind on the meta device: its sizes, actions and beginnings.

    Args:
        folder: of the model. Of the weights, the header is read: loading checks the rest.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder = Path(folder)
    require(folder, "config.json", "contract.json", "starts.npz", "tokenizer/config.json")
    record, inner = (read_record(path / "config.json") for path in (folder, folder / "tokenizer"))
    if is_mineworld(folder):
        sizes = read_sizes(record, folder, MineWorldConfig)
        vq = read_sizes(inner, folder / "tokenizer", VQConfig)
        around = mineworld_surroundings(folder, sizes, vq)
        model, tokenizer = _outlined(sizes.make, folder), _outlined(vq.make, folder / "tokenizer")
        return MineWorldPlay(model, tokenizer, *around, "outline", trained_order(folder))
    own = read_sizes(record, folder, WorldConfig)
    frames = read_sizes(inner, folder / "tokenizer", FrameTokenizerConfig)
    contract, starts, actions = read_surroundings(folder, own, frames)
    network, encoder = _outlined(own.make, folder), _outlined(frames.make, folder / "tokenizer")
    return World(network, encoder, contract, starts, actions, "outline")


def _outlined(make: Callable[[], Network], folder: Path) -> Network:
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
