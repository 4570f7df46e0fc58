"""Published torch pickles (.pt, .ckpt, .bin): read without running what they might hold."""

from __future__ import annotations

import pickle
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from playloop.core.files import check_pointer

NESTED = "state_dict"
"""Where training programs put the weights, beside counters and settings."""


def read_pickle(path: Path, shapes: bool = False) -> dict[str, Tensor]:
    """A torch pickle's tensors by name, bare or under "state_dict".

    Args:
        path: the file; where its form allows it, tensors stay on disk until they are used.
        shapes: tensors without values, on the meta device, where the form allows it.

    Raises:
        ValueError: it is damaged, or holds anything but tensors by name; nothing was run.
    """
    check_pointer(path)
    mapped = zipfile.is_zipfile(path)
    content = _load(path, "meta" if shapes and mapped else "cpu", mapped)
    content = content.get(NESTED, content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not tensors by name; it is no checkpoint")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            found = type(value).__name__
            raise ValueError(f"{path} does not hold tensors by name ({name} is a {found}); give another file")
    tensors = {str(name): value for name, value in content.items()}
    if mapped:
        _check_lengths(path, tensors)
    return tensors


def _load(path: Path, device: str, mapped: bool) -> Any:
    try:
        return torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        reason = str(error).rpartition("WeightsUnpickler error:")[2].lower()
        if "unsupported" in reason and ("global" in reason or "class" in reason):
            raise ValueError(
                f"{path} wants to run code when it is read, and weights need none: it was not run. "
                "Get it from a source that you trust"
            ) from error
        raise ValueError(f"{path} is damaged or no torch checkpoint; copy it again") from error
    except (RuntimeError, OSError, EOFError, LookupError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}); copy it again") from error


def _check_lengths(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse an archive whose parts are shorter than its tensors: torch would read on into the next part."""
    with zipfile.ZipFile(path) as archive:
        held = Counter(item.file_size for item in archive.infolist() if "/data/" in item.filename)
    storages = {
        value.untyped_storage()._cdata: value.untyped_storage().nbytes() for value in tensors.values()
    }
    # On the meta device tensors that share a part do not show it.
    meta = any(value.is_meta for value in tensors.values())
    if lacking := Counter(set(storages.values()) if meta else storages.values()) - held:
        raise ValueError(f"{path} is damaged: no part of it has {min(lacking)} bytes; copy it again")
