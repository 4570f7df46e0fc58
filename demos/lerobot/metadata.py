"""The metadata of a LeRobot data set v3.0: `info.json`, the table of episodes and the table of tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from playloop.demos.lerobot.columns import Feature, is_video

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"


def describe_data_set(
    features: dict[str, Feature],
    headers: dict[str, dict[str, Any]],
    fps: float,
    robot: str | None,
    megabytes: tuple[float, float],
) -> dict[str, Any]:
    """`info.json` without the counts."""
    rate = int(fps) if float(fps).is_integer() else fps
    described = {}
    for name, feature in features.items():
        video = {"video.fps": rate, "video.is_depth_map": False, "is_depth_map": False}
        extra = {"info": headers[name] | video} if is_video(feature) else {"fps": rate}
        described[name] = feature | {"shape": list(feature["shape"])} | extra
    return {
        "codebase_version": "v3.0",
        "robot_type": robot,
        "chunks_size": 1000,
        "data_files_size_in_mb": megabytes[0],
        "video_files_size_in_mb": megabytes[1],
        "fps": rate,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if headers else None,
        "features": described,
    }


def write_tasks(path: Path, tasks: dict[str, int]) -> None:
    """The table of tasks as pandas writes it: the task is the index, its number a column."""
    table = pa.table({"task_index": pa.array(list(tasks.values()), pa.int64()), "task": list(tasks)})
    columns = [_pandas_column("task_index", "int64", "int64"), _pandas_column("task", "unicode", "object")]
    described = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": columns,
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(described)}), path)


def _pandas_column(name: str, kind: str, dtype: str) -> dict[str, Any]:
    return {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": dtype, "metadata": None}


class EpisodeTable:
    """Streams the table of episodes to disk, one row an episode, statistics included."""

    def __init__(self, root: Path, fps: float):
        self._path, self._fps = root / EPISODES_PATH, fps
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[dict[str, Any]] = []
        self.length = 0

    def add(
        self,
        first: int,
        rows: int,
        task: str,
        file: int,
        videos: dict[str, tuple[int, int]],
        statistics: dict[str, dict[str, np.ndarray]],
    ) -> None:
        """Append an episode: its rows from row `first` on, its frames by camera as (file, first frame)."""
        record: dict[str, Any] = {
            "episode_index": self.length,
            "tasks": [task],
            "length": rows,
            "data/chunk_index": file // 1000,
            "data/file_index": file % 1000,
            "dataset_from_index": first,
            "dataset_to_index": first + rows,
        }
        for name, (number, frame) in videos.items():
            record[f"videos/{name}/chunk_index"] = number // 1000
            record[f"videos/{name}/file_index"] = number % 1000
            record[f"videos/{name}/from_timestamp"] = frame / self._fps
            record[f"videos/{name}/to_timestamp"] = (frame + rows) / self._fps
        for name, found in statistics.items():
            for key, value in found.items():
                record[f"stats/{name}/{key}"] = np.atleast_1d(value).tolist()
        record |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._waiting.append(record)
        self.length += 1
        if len(self._waiting) >= 100:
            self._flush()

    def close(self) -> None:
        """Write what is still in memory and close the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.Table.from_pylist(self._waiting, schema=self._writer.schema if self._writer else None)
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="snappy")
        self._writer.write_table(table)
        self._waiting = []
