"""The kinds of world models that can be played, and the one way to open a folder of any of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch

from playloop.core.contract import Contract
from playloop.core.plugins import plugins
from playloop.nn.archives import read_archive
from playloop.nn.building import build_outline
from playloop.nn.folder import WEIGHTS, read_record
from playloop.nn.quantize import Kind
from playloop.nn.record import model_kind
from playloop.nn.shards import read_header
from playloop.worlds.checkpoint import WORLD, World
from playloop.worlds.mineworld.files import candidates
from playloop.worlds.mineworld.folder import MineWorldPlay
from playloop.worlds.playable import Playable
from playloop.worlds.reading import read_conventions, read_order, read_sizes, read_surroundings, require

OPENERS: dict[str, type[Playable[Any, Any]]] = {cls.kind: cls for cls in (World, MineWorldPlay)}


def opener(folder: str | Path) -> type[Playable[Any, Any]]:
    """What opens a folder, by the kind that its `config.json` names.

    Raises:
        FileNotFoundError: it holds a published checkpoint as it came.
        ValueError: what it says is damaged.
    """
    record = Path(folder) / "config.json"
    if record.is_file():
        named = str(model_kind(read_record(record)))
        return OPENERS.get(named) or _opener_of_plugin(named) or OPENERS[WORLD]
    if found := [file for files in candidates(Path(folder)) for file in files]:
        raise FileNotFoundError(
            f"{folder} holds a published checkpoint; make it playable: "
            f"playloop convert {shlex.quote(str(found[0]))} out=DIR"
        )
    return OPENERS[WORLD]  # which says what is missing


def _opener_of_plugin(kind: str) -> type[Playable[Any, Any]] | None:
    """What an installed package brings to open folders of a kind; None if none does.

    Raises:
        ValueError: a package's entry point cannot be imported, and so may be the one.
    """
    found = [plugin.load() for plugin in plugins("worlds") if plugin.target is not None]
    openers = [cls for cls in found if isinstance(cls, type) and issubclass(cls, Playable)]
    return next((cls for cls in openers if cls.kind == kind), None)


def load_playable(
    folder: str | Path, device: str | torch.device = "cpu", weights: Kind | None = None
) -> Playable[Any, Any]:
    """Read a world model of any kind in the precision that suits the device; see `Playable.load`."""
    return opener(folder).load(folder, device, weights=weights)


def read_contract(folder: str | Path) -> tuple[Contract, str]:
    """The contract of the environment that a world model imitates, and the name of the model.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or of something else.
    """
    name = opener(folder).name_in(Path(folder))
    return read_conventions(Path(folder)), name


def outline(folder: str | Path) -> Playable[Any, Any]:
    """A world model of any kind on the meta device: its sizes, actions and beginnings.

    Of the weights the header is read; loading checks the rest.

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
    model, tokenizer = (
        build_outline(config.make, read_header(path / WEIGHTS), path)
        for config, path in ((sizes, folder), (frames, inner))
    )
    return found(model, tokenizer, *around, "outline", read_order(record, folder))


def count_starts(folder: str | Path) -> int:
    """How many beginnings a world model has.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: the file is damaged.
    """
    require(Path(folder), "starts.npz")
    return len(read_archive(Path(folder) / "starts.npz", "tokens")["tokens"])
