"""A trained model on disk: one folder that is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from playloop.core.files import check_pointer, file_hash, read_json
from playloop.core.formats import FORMAT, check_format
from playloop.core.scratch import staged
from playloop.nn.contents import NOUNS, contents, kind_in
from playloop.nn.manifest import BOUND, check_manifest, write_manifest
from playloop.nn.record import model_kind

WEIGHTS = "model.safetensors"


def check_target(folder: Path, record: str, verb: str, *sources: Path) -> None:
    """Refuse to write a model where other things lie; `staged` would throw them away.

    Args:
        folder: to write. It may be there only if it is empty or came from the same command.
        record: name of the JSON file in it whose "command" says so.
        verb: of the command.
        sources: files and folders that are read.

    Raises:
        ValueError: says what lies there.
    """
    target = folder.resolve()
    for source in (path.resolve() for path in sources):
        if target == source or target in source.parents:
            raise ValueError(f"out={folder} would replace {source}, which is read; name a new folder")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    made = read_record(target / record) if (target / record).is_file() else None
    if not isinstance(made, dict) or not str(made.get("command")).startswith(f"playloop {verb} "):
        raise ValueError(f"out={folder} is there and not of playloop {verb}; name a new folder, or remove it")


def rounded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights on the CPU in bfloat16, as they are stored."""
    return {name: value.detach().cpu().to(torch.bfloat16).contiguous() for name, value in state.items()}


def write_weights(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: dict[str, Any],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a model's tensors, and its `config.json`, which names their file by its hash and a manifest."""
    save_file(dict(tensors), folder / WEIGHTS, metadata)
    (folder / WEIGHTS).chmod(0o644)  # safetensors gives it to the owner alone
    bound = {"weights_sha256": file_hash(folder / WEIGHTS), BOUND: True}
    write_record(folder / "config.json", {"format": FORMAT} | config | bound)


def save_model(
    folder: str | Path,
    state: dict[str, Tensor],
    config: dict[str, Any],
    training: dict[str, Any],
    more: Callable[[Path], None] | None = None,
) -> Path:
    """Write weights (in bfloat16), `config.json` and `training.json`, bound together by a manifest.

    Args:
        folder: to write.
        state: the weights.
        config: everything that is needed to build the model again, JSON-able.
        training: command, data, seed, git …: anything JSON-able.
        more: writes further files into the folder that it is given.
    """
    folder = Path(folder)
    with staged(folder) as partial:
        if more:
            more(partial)
        write_weights(partial, rounded(state), config)
        write_record(partial / "training.json", training)
        write_manifest(partial)
    return folder


def read_config(folder: str | Path, kind: str) -> dict[str, Any]:
    """The `config.json` of a model's folder, after a check that the weights are its own.

    Args:
        folder: that `save_model` wrote.
        kind: of the model that the folder should hold.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is damaged, or something else.
    """
    folder = Path(folder)
    missing = [name for name in ("config.json", WEIGHTS) if not (folder / name).is_file()]
    if missing:
        advice = ("" if kind_in(folder) == kind else contents(folder)) or "; copy it again"
        raise FileNotFoundError(f"{folder} holds no {NOUNS[kind]}: {' and '.join(missing)} missing{advice}")
    config = read_record(folder / "config.json")
    check_format(config, folder / "config.json")
    if (found := str(model_kind(config))) != kind and found in NOUNS:
        raise ValueError(f"{folder} holds a {NOUNS[found]}, and a {NOUNS[kind]} is wanted here")
    weights = {WEIGHTS: file_hash(folder / WEIGHTS)}
    if weights[WEIGHTS] != config.get("weights_sha256"):
        check_pointer(folder / WEIGHTS)
        raise ValueError(f"{folder}/{WEIGHTS} is not the file that config.json names; copy it again")
    check_manifest(folder, required=config.get(BOUND) is True, hashes=weights)
    return config


def write_record(path: Path, record: Any) -> None:
    """Write JSON."""
    path.write_text(json.dumps(record, indent=1) + "\n")


def read_record(path: Path) -> Any:
    """Read a JSON file of a checkpoint, an object.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is damaged.
    """
    return read_json(path, fix="copy the checkpoint again")
