"""Columns that only playloop's training reads, in files of their own beside those that LeRobot knows.

LeRobot's trainers take every column of the data set that begins with "observation" for an input and with
"action" for an output. True positions and the actions to come are neither, so they lie in
`playloop/chunk-…/file-….parquet`: the same rows under the same numbers as in `data/…`, and the description of
the columns in the file itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from playloop.demos.lerobot.columns import BOOKKEEPING, Feature, arrow_schema
from playloop.demos.lerobot.episodes import read_parquet
from playloop.demos.lerobot.info import read_features

FOLDER = "playloop"
PATH = FOLDER + "/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
PRIVATE = ("action_chunk", "observation.target")
"""Columns of `playloop record` that go there; older data sets have them among the ordinary ones."""
KEYS = ("episode_index", "frame_index")
"""Ordinary columns that are stored there too, so that rows are found by number."""
DESCRIPTION = b"playloop"


def schema_beside(private: dict[str, Feature]) -> pa.Schema:
    """The schema of the files, with the description of the columns in its metadata."""
    features = {name: BOOKKEEPING[name] for name in KEYS} | private
    return arrow_schema(features).with_metadata({DESCRIPTION: json.dumps(private).encode()})


def features_beside(root: Path) -> dict[str, Feature]:
    """What lies beside a data set, in LeRobot's form; nothing for data sets of other writers.

    Raises:
        CorruptFile: a file cannot be read.
        ValueError: it is not one of ours.
    """
    paths = sorted((root / FOLDER).glob("*/*.parquet"))
    if not paths:
        return {}
    read_parquet(paths[0], [])  # names every damage
    stored = (pq.read_schema(paths[0]).metadata or {}).get(DESCRIPTION)
    where = f"{paths[0]}: description of its columns"
    try:
        described = json.loads(stored or b"null")
    except ValueError as error:
        raise ValueError(f"{where}: {error}; restore the file") from error
    return read_features(described, where)
