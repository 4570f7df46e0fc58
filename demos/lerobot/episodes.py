"""Episodes and tasks of a LeRobot data set v3.0, each by its number."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NotRequired

import pyarrow as pa
import pyarrow.parquet as pq
from annotated_types import Ge
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from playloop.core.annotations import Natural
from playloop.core.checked import read_typed
from playloop.demos.corrupt import reading


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Columns of a parquet file; those that it lacks are left out.

    Raises:
        CorruptFile: it is missing, torn or a pointer of Git LFS.
    """
    with reading(path, "a readable parquet file", pa.ArrowException):
        names = pq.read_schema(path, memory_map=True).names
        chosen = names if columns is None else [name for name in columns if name in names]
        return pq.read_table(path, columns=chosen, memory_map=True, partitioning=None)


def read_episodes(root: Path, videos: list[str]) -> list[dict[str, Any]]:
    """The records of all episodes, by `episode_index`; `videos` are the cameras whose pictures lie in videos.

    Raises:
        FileNotFoundError: there is no table of episodes.
        CorruptFile: a table cannot be read.
        ValueError: a field is missing or cannot be, or two episodes have one number.
    """
    folder = root / "meta" / "episodes"
    paths = sorted(folder.rglob("[!.]*.parquet"))  # those with a dot in front macOS keeps beside files
    if not paths:
        raise FileNotFoundError(f"{folder} holds no parquet file; restore it from a copy.")
    kind = _record_type(tuple(videos))
    records: list[dict[str, Any]] = []
    for path in paths:
        for number, record in enumerate(read_parquet(path, list(kind.__annotations__)).to_pylist()):
            records.append(read_typed(kind, _plain(record), f"{path}, row {number}"))
    numbers = Counter(record["episode_index"] for record in records)
    if twice := [number for number, count in numbers.items() if count > 1]:
        raise ValueError(f"{folder} lists episode {twice[0]} twice; restore it from a copy")
    return sorted(records, key=lambda record: record["episode_index"])


def read_tasks(path: Path) -> dict[int, str]:
    """Number of a task (`task_index`) → its text; numbers may have gaps.

    The text stands under either of the names that LeRobot has used.

    Raises:
        CorruptFile: the table is missing or cannot be read.
        ValueError: it lacks a column, holds nulls, or one number stands for two tasks.
    """
    table = read_parquet(path)
    text = "task" if "task" in table.column_names else "__index_level_0__"
    if "task_index" not in table.column_names or text not in table.column_names:
        raise ValueError(
            f"{path} has not the columns task_index and task, but {', '.join(table.column_names)}; restore it"
        )
    stored = list(map(_whole, table["task_index"].to_pylist()))
    numbers: list[int] = read_typed(list[int], stored, f"{path}: task_index")
    texts: list[str] = read_typed(list[str], table[text].to_pylist(), f"{path}: {text}")
    tasks: dict[int, str] = {}
    for number, task in zip(numbers, texts, strict=True):
        if tasks.setdefault(number, task) != task:
            raise ValueError(
                f"{path}: task {number} is both {tasks[number]!r} and {task!r}; keep one of them"
            )
    return tasks


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A row of the table of episodes with whole numbers as such, and one task as a list."""
    plain = {name: value if name.endswith("_timestamp") else _whole(value) for name, value in record.items()}
    if isinstance(tasks := plain.get("tasks"), str):
        plain["tasks"] = [tasks]
    return plain


def _whole(value: Any) -> Any:
    """A whole number that pandas has made a float of, as after a join; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@lru_cache(maxsize=16)
def _record_type(videos: tuple[str, ...]) -> Any:
    """What a row of the table of episodes holds; with where it lies in each video."""
    fields: dict[str, Any] = {
        "episode_index": Natural,
        "length": Natural,
        "tasks": NotRequired[list[str] | None],
        "data/chunk_index": Natural,
        "data/file_index": Natural,
        "dataset_from_index": NotRequired[int],
        "dataset_to_index": NotRequired[int],
    }
    for name in videos:
        fields |= {f"videos/{name}/{key}": Natural for key in ("chunk_index", "file_index")}
        fields[f"videos/{name}/from_timestamp"] = Annotated[float, Ge(0)]
    return TypedDict("Episode", fields)  # type: ignore[operator]
