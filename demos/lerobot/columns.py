"""Columns of a data set: NumPy arrays in memory, fixed-shape Arrow columns on disk."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

Feature = dict[str, Any]
"""`{"dtype": "float32", "shape": [7], "names": [...]}`, as in LeRobot's `info.json`."""

BOOKKEEPING: dict[str, Feature] = {
    name: {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index")
}
"""Columns that every data set has besides its own."""


def is_video(feature: Feature) -> bool:
    """Whether a feature lies in mp4 files."""
    return feature["dtype"] == "video"


def is_camera(feature: Feature) -> bool:
    """Whether a feature holds pictures, in mp4 files or in the parquet files."""
    return feature["dtype"] in ("video", "image")


def arrow_type(feature: Feature) -> pa.DataType:
    """Scalars, lists of fixed length for vectors, nested lists (the storage of `ArrayND`) for the rest."""
    kind, shape = pa.from_numpy_dtype(np.dtype(feature["dtype"])), tuple(feature["shape"])
    if shape == (1,):
        return kind
    if len(shape) == 1:
        return pa.list_(kind, shape[0])
    for _ in shape:
        kind = pa.list_(kind)
    return kind


def arrow_schema(features: dict[str, Feature]) -> pa.Schema:
    """The schema of the data files, with the description that Hugging Face `datasets` looks for."""
    stored = {name: feature for name, feature in features.items() if not is_video(feature)}
    described = {name: _hugging_face(feature) for name, feature in stored.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": described}})}
    return pa.schema([(name, arrow_type(feature)) for name, feature in stored.items()], metadata=metadata)


def to_arrow(values: np.ndarray, feature: Feature) -> pa.Array:
    """Rows [n, *shape] as one Arrow array of n entries."""
    flat, shape = pa.array(np.ascontiguousarray(values).reshape(-1)), tuple(feature["shape"])
    if shape == (1,):
        return flat
    if len(shape) == 1:
        return pa.FixedSizeListArray.from_arrays(flat, shape[0])
    for size in reversed(shape):
        offsets = np.arange(0, len(flat) + 1, size, dtype=np.int32)
        flat = pa.ListArray.from_arrays(pa.array(offsets), flat)
    return flat


def check_rows(name: str, values: np.ndarray, feature: Feature, rows: int) -> np.ndarray:
    """The values as [rows, *shape] in the feature's dtype.

    Raises:
        ValueError: if the shape differs, or the values would change on their way into the dtype.
    """
    values, shape = np.asarray(values), tuple(feature["shape"])
    if shape == (1,) and values.shape == (rows,):
        values = values[:, None]
    if values.shape != (rows, *shape):
        raise ValueError(f"Column {name!r} is {values.shape}; its feature wants {(rows, *shape)}.")
    if not np.can_cast(values.dtype, feature["dtype"], "same_kind"):
        raise ValueError(f"Column {name!r} is {values.dtype}; convert it to {feature['dtype']} first.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"Column {name!r} holds NaN or infinity; statistics of it would be worthless.")
    return values.astype(feature["dtype"])


def _hugging_face(feature: Feature) -> dict[str, Any]:
    shape, value = list(feature["shape"]), {"dtype": feature["dtype"], "_type": "Value"}
    if shape == [1]:
        return value
    if len(shape) == 1:
        return {"feature": value, "length": shape[0], "_type": "Sequence"}
    return {"shape": shape, "dtype": feature["dtype"], "_type": f"Array{len(shape)}D"}
