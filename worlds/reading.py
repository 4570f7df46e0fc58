"""What the files of a world model's folder say, checked before anything is built of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from playloop.core.contract import Contract
from playloop.core.formats import check_format
from playloop.core.minecraft import ACTION_NAMES
from playloop.nn.archives import read_archive
from playloop.nn.building import Sizes
from playloop.nn.folder import read_record, write_record
from playloop.nn.record import read_part
from playloop.tokenizers.minecraft import CompactActions, MineWorldActions
from playloop.worlds.model import MOST_POSITIONS
from playloop.worlds.sampler import Order, SamplerConfig

MOST_HZ = 1000.0

Form: TypeAlias = CompactActions | MineWorldActions
"""Action vectors ↔ what a model takes."""


Config = TypeVar("Config", bound=Sizes[Any])


def require(folder: Path, *names: str) -> None:
    """Refuse a folder that lacks files.

    Raises:
        FileNotFoundError: says which.
    """
    if missing := [name for name in names if not (folder / name).exists()]:
        raise FileNotFoundError(f"{folder} lacks {' and '.join(missing)}; copy it again")


def read_sizes(record: dict[str, Any], folder: Path, kind: type[Config], *classes: type) -> Config:
    """The "model" of the record of a folder's `config.json`, of a class that may hold others.

    Raises:
        ValueError: it is another one, a field is wrong, or sizes do not fit together; names the file.
    """
    check_format(record, folder / "config.json")
    try:
        config: Config = read_part(record, "model", (kind,), classes)
        config.check()
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from error
    return config


def write_surroundings(
    folder: Path, contract: Contract, starts: tuple[np.ndarray | Tensor, np.ndarray | Tensor]
) -> None:
    """Write what lies beside a world model's weights: the contract of the game that it imitates, and tokens
    [S, T, N] and actions [S, T - 1, G] of clips to begin with."""
    write_record(folder / "contract.json", contract.to_json())
    tokens, actions = (np.asarray(part).astype(np.int16) for part in starts)
    np.savez_compressed(folder / "starts.npz", allow_pickle=False, tokens=tokens, actions=actions)


def read_surroundings(
    folder: Path, sizes: Any, frames: Any, form: Callable[[Any], Form]
) -> tuple[Contract, Tensor, Tensor]:
    """What `write_surroundings` wrote: contract, and tokens int64 [S, T, N] and actions int64 [S, T - 1, G].

    Args:
        folder: of the model.
        sizes: configuration of the model: `rows`, `columns`, `codes`.
        frames: configuration of its tokenizer: `grid`, `codes`, `height`, `width`.
        form: of the model's actions, from its sizes.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or model, tokenizer and files do not belong together.
    """
    path = folder / "config.json"
    if (sizes.rows, sizes.columns, sizes.codes) != (*frames.grid, frames.codes):
        raise ValueError(
            f"{path}: frames of {sizes.rows} x {sizes.columns} tokens of {sizes.codes} codes; its tokenizer "
            f"has {frames.grid[0]} x {frames.grid[1]} of {frames.codes}"
        )
    try:
        actions = form(sizes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    contract = read_conventions(folder)
    _check_camera(contract, (frames.height, frames.width), folder)
    return contract, *_read_starts(folder, sizes.rows * sizes.columns, sizes.codes, actions)


def read_order(record: dict[str, Any], folder: Path) -> Order | None:
    """The order of decoding that a model was trained for, by the record of its folder's `config.json`; None
    where it is not known, as of a published one.

    Raises:
        ValueError: it is damaged.
    """
    if record.get("trained") is None:
        return None
    try:
        order: Order = read_part(record, "trained", (Order,))
        SamplerConfig(**vars(order)).check_any_window(MOST_POSITIONS)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from error
    return order


def read_conventions(folder: Path) -> Contract:
    """The contract of the game that a world model imitates.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a field is missing or wrong; names the file.
    """
    require(folder, "contract.json")
    path = folder / "contract.json"
    contract = Contract.from_json(read_record(path), str(path))
    if contract.action_names != ACTION_NAMES:
        raise ValueError(f"{path}: action_names are not MineRL's, which all world models here are made for")
    if not contract.cameras or not 0 < contract.control_hz <= MOST_HZ:
        raise ValueError(f"{path}: it needs a camera, and a control_hz above 0 and at most {MOST_HZ:g}")
    return contract


def model_name(folder: Path) -> str:
    """A name for all that decides on a world model's frames: from what `config.json` says of the weights and
    of the tokenizer's, of the order that they are played in, and of the ids that turns have.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it says nothing of them, or is damaged.
    """
    records = [read_record(path / "config.json") for path in (folder, folder / "tokenizer")]
    hashes = [record.get("weights_sha256") for record in records]
    model = records[0].get("model")
    if not isinstance(model, dict) or not all(isinstance(value, str) for value in hashes):
        raise ValueError(f"{folder / 'config.json'} lacks weights_sha256 or model; copy the folder again")
    both = "".join(value[:12] for value in hashes)
    more = {"trained": records[0].get("trained"), "truncate": model.get("truncate")}
    if any(more.values()):  # folders that say nothing of it keep their names
        both += json.dumps(more, sort_keys=True)
    return hashlib.sha256(both.encode()).hexdigest()[:12]


def _check_camera(contract: Contract, size: tuple[int, int], folder: Path) -> None:
    """Refuse a contract whose pictures have another size than those of the frame tokenizer."""
    camera, declared = next(iter(contract.cameras.items()))
    if tuple(declared) != size:
        raise ValueError(
            f"{folder / 'contract.json'}: camera {camera} is {declared[0]} x {declared[1]}, the tokenizer's "
            f"frames are {size[0]} x {size[1]}; both must come from one training run"
        )


def _read_starts(folder: Path, tokens: int, codes: int, form: Form) -> tuple[Tensor, Tensor]:
    """The beginnings of a world model: tokens int64 [S, T, N] and actions int64 [S, T - 1, G]."""
    require(folder, "starts.npz")
    path = folder / "starts.npz"
    stored = read_archive(path, "tokens", "actions")
    frames, actions = stored["tokens"], stored["actions"]
    if frames.dtype.kind not in "iu" or actions.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: tokens and actions are {frames.dtype} and {actions.dtype}, not whole numbers"
        )
    if frames.ndim != 3 or 0 in frames.shape[:2] or frames.shape[2] != tokens:
        raise ValueError(f"{path}: tokens are {frames.shape}, not beginnings of frames of {tokens}")
    if actions.ndim != 3 or actions.shape[:2] != (len(frames), frames.shape[1] - 1):
        raise ValueError(f"{path}: actions are {actions.shape}, not those between frames {frames.shape[:2]}")
    if int(frames.min()) < 0 or int(frames.max()) >= codes:
        raise ValueError(f"{path}: tokens from {frames.min()} to {frames.max()}, the tokenizer has {codes}")
    if not _known(actions.astype(np.int64), form):
        raise ValueError(f"{path}: actions hold numbers that the model's form of an action does not have")
    return torch.from_numpy(frames.astype(np.int64)), torch.from_numpy(actions.astype(np.int64))


def _known(actions: np.ndarray, form: Form) -> bool:
    """Whether actions are what their meaning is written as: both directions are exact."""
    try:
        return bool(np.array_equal(form.encode(form.decode(actions)), actions))
    except (ValueError, IndexError):
        return False
