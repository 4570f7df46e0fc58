"""Data sets with something in them changed, as others' tools, editors and accidents change them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from playloop.demos.lerobot.writer import DatasetWriter

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
TASKS = "meta/tasks.parquet"


def write_actions(root: Path, lengths=(3, 3, 3), tasks=("a", "b", "c"), **options) -> None:
    """Without cameras; action [0] of row k is k, and the list of fingerprints is gone."""
    features = {
        "action": {"dtype": "float32", "shape": [2], "names": None},
        "observation.state": {"dtype": "float32", "shape": [1], "names": None},
        "expert": {"dtype": "int64", "shape": [1], "names": None},
    }
    first = 0
    with DatasetWriter(root, 20, features, **options) as writer:
        for rows, task in zip(lengths, tasks, strict=True):
            number = np.arange(first, first + rows, dtype=np.float32)
            columns = {"action": np.stack([number, -number], 1), "observation.state": number}
            writer.add_episode(columns | {"expert": np.ones(rows, np.int64)}, {}, task)
            first += rows
    (root / "meta/files.json").unlink()


def change(path: Path, **columns: Any) -> None:
    """Put other columns into a parquet file; "task_index" to None removes it."""
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = (
            table.remove_column(place) if values is None else table.set_column(place, name, pa.array(values))
        )
    pq.write_table(table, path)


def reorder(path: Path, order: Any) -> None:
    """Put the rows of a parquet file into another order."""
    pq.write_table(pq.read_table(path).take(pa.array(order)), path)


def change_info(root: Path, **fields: Any) -> None:
    """Change fields of `info.json`; "features.action.shape" is written features__action__shape."""
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    for name, value in fields.items():
        *way, last = name.split("__")
        place = info
        for part in way:
            place = place[part]
        place[last] = value
    path.write_text(json.dumps(info))
