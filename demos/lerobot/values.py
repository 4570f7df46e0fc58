"""A column of a parquet file as numbers, and the rows of it that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playloop.core.minecraft import ACTION_NAMES, action_space
from playloop.demos.lerobot.columns import Feature

Faults = dict[int, str]
"""Number of a row → what is wrong with it."""


def is_numeric(feature: Feature) -> bool:
    """Whether a feature's values are numbers; text, pictures and videos are not."""
    try:
        return np.dtype(feature["dtype"]).kind in "biuf"
    except (TypeError, ValueError, SyntaxError):  # words that are no type, of numpy's grammar or none
        return False


def read_rows(column: pa.ChunkedArray, feature: Feature) -> tuple[np.ndarray, Faults]:
    """Values [n, *shape] in the feature's type, scalars as [n]; rows with a fault are zeros.

    A fault is a null instead of a row or in it, another shape, a value that is no number, not finite or not
    one of the feature's type.

    Args:
        column: as it lies in the file.
        feature: its type and shape, as declared.
    """
    shape, rows = tuple(feature["shape"]), len(column)
    faults: Faults = {}
    array = _storage(column)
    owner = np.arange(rows)  # which row each value belongs to
    array, owner = _without(array, owner, _nulls(array), faults, "null")
    for depth, size in enumerate(shape):
        if not _is_list(array.type):
            if shape == (1,):
                break
            what = f"of another shape than {list(shape)}" if depth else f"{array.type}, not {size} numbers"
            return _zeros(rows, feature), dict.fromkeys(range(rows), what)
        lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
        wrong = f"of another length than {list(shape)}"
        array, owner = _without(array, owner, lengths != size, faults, wrong)
        array, owner = pc.list_flatten(array), np.repeat(owner, size)
        array, owner = _without(array, owner, _nulls(array), faults, "null in it")
    values, wrong_values = _typed(array, np.dtype(feature["dtype"]))
    bad = np.flatnonzero(wrong_values)
    for number, first in zip(*np.unique(owner[bad], return_index=True), strict=True):
        value = repr(array[int(bad[first])].as_py())[:40]
        faults[int(number)] = f"{value} is no finite {feature['dtype']}"
    found = _zeros(rows, feature)
    if not faults:
        return values.reshape(found.shape), faults
    whole = np.flatnonzero(~np.isin(np.arange(rows), list(faults)))
    found[whole] = values[np.isin(owner, whole)].reshape(len(whole), *found.shape[1:])
    return found, faults


def outside(name: str, values: np.ndarray, family_actions: tuple[str, ...]) -> np.ndarray:
    """Rows of values [n, *shape] that lie outside the space that their environment declares, bool [n].

    `name` is the column's; `family_actions` are those of the data set's contract, none without one.
    """
    if name == "expert":  # whether a row is imitated
        return ~np.isin(values, (0, 1))
    if family_actions != ACTION_NAMES or name not in ("action", "action_chunk"):
        return np.zeros(len(values), bool)
    space = action_space()
    within: np.ndarray = (values >= space.low) & (values <= space.high)
    return np.asarray(~within.reshape(len(values), -1).all(1))


def _storage(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # older pyarrow returns chunks when there is nothing to combine
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)


def _nulls(array: pa.Array) -> np.ndarray:
    return array.is_null().to_numpy(zero_copy_only=False)


def _without(
    array: pa.Array, owner: np.ndarray, bad: np.ndarray, faults: Faults, why: str
) -> tuple[pa.Array, np.ndarray]:
    """What is left without the rows that a bad value belongs to; they are added to `faults`."""
    if not bad.any():
        return array, owner
    spoilt = np.unique(owner[bad])
    faults.update(dict.fromkeys(spoilt.tolist(), why))
    keep = ~np.isin(owner, spoilt)
    return array.filter(pa.array(keep)), owner[keep]


def _typed(array: pa.Array, kind: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Values in a type, and which of them cannot be in it."""
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if not any(holds(array.type) for holds in numbers):
        return np.zeros(len(array), kind), np.ones(len(array), bool)
    stored: Any = array.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(kind)
    if kind.kind == "f":
        return values, ~np.isfinite(values)
    if stored.dtype == kind:
        return values, np.zeros(len(values), bool)
    wide = stored.astype(np.float64)
    limits = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    good = np.isfinite(wide) & (wide == np.floor(wide)) & (wide >= limits[0]) & (wide <= limits[1])
    return values, ~good


def _zeros(rows: int, feature: Feature) -> np.ndarray:
    shape = tuple(feature["shape"])
    return np.zeros((rows, *(() if shape == (1,) else shape)), np.dtype(feature["dtype"]))
