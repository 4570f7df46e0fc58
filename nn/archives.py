"""Arrays in NumPy's .npz archives, whose sizes are known before anything is unpacked."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from playloop.core.files import check_pointer

LIMIT = 256_000_000
"""Bytes of an archive's arrays, unpacked: a few kilobytes may unpack to gigabytes."""


def read_archive(
    path: str | Path, *names: str, fix: str = "copy it again", limit: int = LIMIT
) -> dict[str, np.ndarray]:
    """The arrays of an archive by name.

    Args:
        path: of the file.
        names: that must be there.
        fix: what to do about a damaged one, the end of the error's sentence.
        limit: bytes that the arrays may have together.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, lacks a name, holds objects, or unpacks to more than the limit; names the
            file. Nothing was unpacked that is larger than the limit.
    """
    path = Path(path)
    check_pointer(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > limit:
                raise ValueError(f"it unpacks to {total:,} bytes, more than {limit:,}")
            found = {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged ({error or type(error).__name__}); {fix}") from error
    except (ValueError, SyntaxError, TypeError, OverflowError) as error:  # what a header may lead to
        raise ValueError(f"{path}: {error}; {fix}") from error
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path} lacks {' and '.join(missing)}; {fix}")
    return found


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, after a check that its header promises no more than what is there."""
    content = archive.read(member)
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    needed, there = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
    if dtype.hasobject or min(shape, default=0) < 0 or needed != there:
        raise ValueError(f"{member.filename} has the type {dtype} and shape {shape}, and {there} bytes")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
