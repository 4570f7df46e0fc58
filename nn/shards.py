"""Weights in the safetensors format, one file or several with an index: checked whole before any is read.

The format (huggingface.co/docs/safetensors): 8 bytes with the header's length, little-endian; the header in
JSON, name → {dtype, shape, data_offsets}; then the bytes of the tensors without gaps. Hugging Face's index is
JSON too: `weight_map`, name → file, and `metadata.total_size` in bytes.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from playloop.core.files import check_pointer
from playloop.nn.folder import WEIGHTS, read_record, write_record

INDEX = "model.safetensors.index.json"

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
BYTES |= {"U64": 8, "U32": 4, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
"""Size of an element by the format's name of its type."""

FLOATS = ("F32", "F16", "BF16")
"""Types that weights may have."""

HEADER_LIMIT = 100_000_000
"""Bytes; the format's own limit."""

AGAIN = "download the file again"


@dataclass(frozen=True)
class Entry:
    """A tensor in a file, as its header describes it.

    Args:
        file: that holds it.
        dtype: the format's name, "BF16" for instance.
        shape: of the tensor.
        start: of its bytes, counted from the end of the header.
        end: likewise.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """Numbers in the tensor."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one file by name, after a check that the file is as long as they need.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the header is no header, or tensors overlap, leave gaps or end where the file does not.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {AGAIN}")
    check_pointer(path)
    length = path.stat().st_size
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if length < 8 or size > min(length - 8, HEADER_LIMIT):
            raise ValueError(f"{path} is cut off or no safetensors file ({length} bytes); {AGAIN}")
        text = file.read(size)
    try:
        record = json.loads(text)
        record.pop("__metadata__", None)
        entries = {name: _entry(path, found) for name, found in record.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged header ({error!r}); {AGAIN}") from error
    _check_offsets(path, entries, length - 8 - size)
    return entries


def _entry(path: Path, found: Mapping[str, Any]) -> Entry:
    numbers = [*found["data_offsets"], *found["shape"]]
    if not all(type(number) is int for number in numbers):
        raise ValueError(f"{min(numbers, key=str)!r} where a whole number belongs")
    start, end, *shape = numbers
    if found["dtype"] not in BYTES:
        raise ValueError(f"the type {found['dtype']} is not known here")
    if min((*shape, start), default=0) < 0:
        raise ValueError(f"type {found['dtype']}, shape {shape}, offset {start}")
    return Entry(path, found["dtype"], tuple(shape), start, end)


def _check_offsets(path: Path, entries: Mapping[str, Entry], data: int) -> None:
    """Refuse tensors that do not tile the file's `data` bytes."""
    place = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != place:
            problem = "overlaps the tensor before it" if entry.start < place else "leaves a gap before it"
            raise ValueError(f"{path}: {name} {problem} (byte {entry.start}, not {place}); {AGAIN}")
        if entry.end - entry.start != entry.elements * BYTES[entry.dtype]:
            raise ValueError(
                f"{path}: {name} of the shape {entry.shape} and type {entry.dtype} has "
                f"{entry.end - entry.start} bytes; {AGAIN}"
            )
        place = entry.end
    if place != data:
        problem = "cut off" if data < place else "too long"
        raise ValueError(f"{path} is {problem}: it holds {data} bytes of tensors, not {place}; {AGAIN}")


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
    _check_total(index, record, entries)
    return entries


def _check_total(index: Path, record: Mapping[str, Any], entries: Mapping[str, Entry]) -> None:
    """Tell of a total that is not the files'.

    Tools that rewrite weights leave it behind, and nothing reads it: every tensor's own length is checked.
    """
    metadata = record.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    found = sum(entry.end - entry.start for entry in entries.values())
    if total is not None and total != found:
        warnings.warn(
            f"{index} tells of {total} bytes where the files hold {found}: an older total, for every tensor "
            "is there and whole",
            stacklevel=4,
        )


def read_tensors(entries: Mapping[str, Entry], names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """The named tensors one at a time, on the CPU, file by file in the order in which they lie there."""
    by_file: dict[Path, list[str]] = {}
    for name in sorted(names, key=lambda name: (entries[name].file, entries[name].start)):
        by_file.setdefault(entries[name].file, []).append(name)
    for path, wanted in by_file.items():
        with safe_open(path, framework="pt") as file:
            for name in wanted:
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
    groups: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in tensors.items():
        if groups[-1] and size + tensor.nbytes > limit:
            groups.append({})
            size = 0
        groups[-1][name] = tensor.cpu()
        size, total = size + tensor.nbytes, total + tensor.nbytes
    listed: dict[str, str] = {}
    for number, group in enumerate(groups, start=1):
        single = len(groups) == 1
        file = WEIGHTS if single else f"model-{number:05}-of-{len(groups):05}.safetensors"
        write_shard(folder / file, group)
        listed |= dict.fromkeys(group, file)
    if len(groups) > 1:
        write_record(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": listed})
