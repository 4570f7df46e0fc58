"""What a model made of a stored input when its folder was written, and what it makes of it now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from playloop.nn.archives import read_archive
from playloop.nn.building import first_line

GOLDEN = "golden.npz"
Arrays = dict[str, np.ndarray]
Made = TypeVar("Made")


def write_golden(folder: Path, made: Mapping[str, np.ndarray]) -> None:
    """Store an input and what was made of it."""
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **made)


def make_again(folder: Path, again: Callable[[Arrays], Made], *names: str) -> tuple[Arrays, Made]:
    """What a folder's golden file holds, and what is made of it now.

    Args:
        folder: that `write_golden` wrote to.
        again: makes it of what is stored.
        names: that must be stored.

    Raises:
        ValueError: the file is damaged, or its input is not one of this model.
    """
    golden = read_archive(folder / GOLDEN, *names)
    try:
        return golden, again(golden)
    except (ValueError, TypeError, RuntimeError, LookupError) as error:
        raise ValueError(
            f"{folder / GOLDEN} is damaged or of another checkpoint ({first_line(error)}); copy it again"
        ) from error
