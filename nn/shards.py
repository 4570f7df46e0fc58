"""Weights in the safetensors format, one file or several with an index: checked whole before any is read."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from playloop.core.files import check_pointer
from playloop.nn.folder import WEIGHTS, read_record, write_record

INDEX = "model.safetensors.index.json"

FLOATS = ("F32", "F16", "BF16")
"""Types that weights may have."""

AGAIN = "download the file again"


@dataclass(frozen=True)
class Entry:
    """A tensor in a file, as its header describes it.

    Args:
        file: that holds it.
        dtype: the format's name, "BF16" for instance.
        shape: of the tensor.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Numbers in the tensor."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one file by name, in the order in which they lie there; no tensor is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the header is no header, or tensors overlap, leave gaps or end where the file does not.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {AGAIN}")
    check_pointer(path)
    try:
        with safe_open(path, framework="pt") as file:
            slices = [(name, file.get_slice(name)) for name in file.offset_keys()]
            return {name: Entry(path, s.get_dtype(), tuple(s.get_shape())) for name, s in slices}
    except (SafetensorError, OSError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise ValueError(f"{path} is cut off, damaged or no safetensors file ({reason}); {AGAIN}") from error


def read_shards(folder: Path) -> dict[str, Entry]:
    """All tensors of a folder by name, from `model.safetensors` or from the files that the index lists.

    Raises:
        FileNotFoundError: there are no weights, or a file of the index is missing.
        ValueError: a file is damaged, or files and index contradict each other.
    """
    single, index = folder / WEIGHTS, folder / INDEX
    if single.is_file() and index.is_file():
        raise ValueError(f"{folder} holds both {WEIGHTS} and {INDEX}; remove the one that is not its own")
    if single.is_file():
        return read_header(single)
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder} holds neither {WEIGHTS} nor {INDEX}; download the weights in the safetensors format"
        )
    return _read_index(folder, index)


def _read_index(folder: Path, index: Path) -> dict[str, Entry]:
    record = read_record(index)
    listed = record.get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise ValueError(f"{index} has no weight_map; {AGAIN}")
    files = sorted(set(map(str, listed.values())))
    if any(Path(name).name != name for name in files):
        raise ValueError(f"{index} lists files outside its folder; it is no index to trust")
    stray = {path.name for path in folder.glob("model-*-of-*.safetensors")} - set(files)
    if stray:
        raise ValueError(f"{folder}/{min(stray)} is not in {INDEX}; remove it, it is of another download")
    entries: dict[str, Entry] = {}
    for name in files:
        header = read_header(folder / name)
        twice = header.keys() & entries.keys()
        if twice:
            first = min(twice)
            raise ValueError(f"{first} comes twice, in {entries[first].file.name} and in {name}; {AGAIN}")
        wrong = header.keys() ^ {tensor for tensor, file in listed.items() if file == name}
        if wrong:
            raise ValueError(f"{folder}/{name} and {INDEX} disagree on {min(wrong)}; download both again")
        entries |= header
    _check_total(index, record, [folder / name for name in files])
    return entries


def _check_total(index: Path, record: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Warn of a total that is not the files'.

    Tools that rewrite weights leave it behind, and nothing reads it: every tensor's own length is checked.
    """
    metadata = record.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    found = sum(map(tensor_bytes, files))
    if total is not None and total != found:
        warnings.warn(
            f"{index} lists {total} bytes where the files hold {found}: an older total, for every tensor "
            "is there and whole",
            stacklevel=4,
        )


def tensor_bytes(path: Path) -> int:
    """Bytes of all tensors of a sound file: what follows its header, whose length is in the first 8."""
    with path.open("rb") as file:
        return path.stat().st_size - 8 - int.from_bytes(file.read(8), "little")


def read_tensors(entries: Mapping[str, Entry], names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """The named tensors one at a time, on the CPU, file by file in the order in which they lie there."""
    order = {name: number for number, name in enumerate(entries)}
    for path, group in groupby(sorted(names, key=order.__getitem__), lambda name: entries[name].file):
        with safe_open(path, framework="pt") as file:
            for name in group:
                yield name, file.get_tensor(name)


def write_shard(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one file.

    Raises:
        OSError: it cannot be written; there may be no room.
    """
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written ({error}); make room and repeat") from error
    path.chmod(0o644)  # safetensors gives it to the owner alone


def write_shards(folder: Path, tensors: Mapping[str, Tensor], limit: int = 5_000_000_000) -> None:
    """Write tensors in their order: one file, or several of at most `limit` bytes and their index."""
    pattern = "model{suffix}.safetensors"
    split = split_torch_state_dict_into_shards(dict(tensors), filename_pattern=pattern, max_shard_size=limit)
    for file, names in split.filename_to_tensors.items():
        write_shard(folder / file, {name: tensors[name].cpu() for name in names})
    if split.is_sharded:
        write_record(folder / INDEX, {"metadata": split.metadata, "weight_map": split.tensor_to_filename})
