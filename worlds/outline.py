"""A world model without its weights: what can be asked of it before gigabytes are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from playloop.envs.contract import Contract
from playloop.nn.folder import read_record
from playloop.nn.record import from_record
from playloop.tokenizers.frames import FrameTokenizerConfig
from playloop.tokenizers.vq import VQConfig
from playloop.worlds.checkpoint import World, is_mineworld
from playloop.worlds.mineworld.folder import MineWorldPlay, trained_order
from playloop.worlds.mineworld.model import MineWorldConfig
from playloop.worlds.model import WorldConfig


def outline(folder: str | Path) -> World | MineWorldPlay:
    """A world model of any kind on the meta device: its sizes, actions and beginnings.

    Args:
        folder: of the model. Its weights may be missing or damaged: loading checks them.

    Raises:
        FileNotFoundError: another file is missing.
        ValueError: a file is damaged or of something else.
    """
    folder = Path(folder)
    _demand(folder, "config.json", "contract.json", "starts.npz", "tokenizer/config.json")
    records = [read_record(path / "config.json")["model"] for path in (folder, folder / "tokenizer")]
    contract = Contract.from_json(read_record(folder / "contract.json"))
    with np.load(folder / "starts.npz", allow_pickle=False) as stored:
        starts, actions = (torch.from_numpy(stored[name].astype(np.int64)) for name in ("tokens", "actions"))
    with torch.device("meta"):
        if is_mineworld(folder):
            sizes, tokenizer = (from_record(record, (MineWorldConfig, VQConfig)) for record in records)
            parts = sizes.make(), tokenizer.make(), contract, starts, actions, "outline"
            return MineWorldPlay(*parts, trained_order(folder))
        sizes, tokenizer = (from_record(record, (WorldConfig, FrameTokenizerConfig)) for record in records)
        return World(sizes.make(), tokenizer.make(), contract, starts, actions, "outline")


def count_starts(folder: str | Path) -> int:
    """How many beginnings a world model has.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    _demand(Path(folder), "starts.npz")
    with np.load(Path(folder) / "starts.npz", allow_pickle=False) as stored:
        return len(stored["tokens"])


def _demand(folder: Path, *names: str) -> None:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise FileNotFoundError(f"{folder} lacks {' and '.join(missing)}; copy it again")
