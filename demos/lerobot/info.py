"""What a LeRobot data set v3.0 says of itself, read so that nothing in it is taken on trust.

That is `meta/info.json`, and for columns that only playloop's training reads a description in files of their
own. LeRobot's trainers take every column of the data set that begins with "observation" for an input and with
"action" for an output. True positions and the actions to come are neither, so they lie in
`playloop/chunk-…/file-….parquet`: the same rows under the same numbers as in `data/…`.
"""

from __future__ import annotations

import json
import math
import re
import string
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NotRequired

import pyarrow as pa
import pyarrow.parquet as pq
from annotated_types import Gt
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from playloop.core.checked import read_typed
from playloop.core.files import read_json
from playloop.demos.corrupt import refuse_folder
from playloop.demos.lerobot.columns import BOOKKEEPING, Feature, arrow_schema, is_camera
from playloop.demos.lerobot.episodes import read_parquet

FIX = "restore it from a copy"
CONVERTER = (
    "convert it with LeRobot: python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=ANY/NAME "
    "--root=FOLDER --push-to-hub=false (LeRobot 0.4 has it in lerobot.datasets.v30)"
)

NUMBERS = ("episode_index", "frame_index", "task_index")
"""Columns that every data set has, whatever it declares: rows, episodes and tasks are found by them."""
CHANNELS = (1, 3)
"""Channels of a picture: grey or colours. Some tools change a shape and leave names that contradict it."""
LARGEST = 10**8
"""Most numbers in a row of a column."""
PRIVATE = "playloop"
"""Folder of the private columns."""
PRIVATE_PATH = PRIVATE + "/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
KEYS = ("episode_index", "frame_index")
"""Ordinary columns that are stored there too, so that rows are found by number."""
DESCRIPTION = b"playloop"


class _Described(TypedDict):
    dtype: str
    shape: list[int]


class _Info(TypedDict):
    """What is read of `info.json`."""

    fps: Annotated[float, Gt(0)]
    features: dict[str, _Described]
    data_path: str
    video_path: NotRequired[str | None]
    total_episodes: NotRequired[int]
    total_frames: NotRequired[int]
    total_tasks: NotRequired[int]


def read_info(root: Path) -> dict[str, Any]:
    """The content of `meta/info.json`; shapes of cameras are [height, width, channels] whatever they were.

    Raises:
        FileNotFoundError: there is no finished data set in `root`; says what there is instead.
        ValueError: another version of the format, or a field that cannot be.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        refuse_folder(root)
    info = read_json(path, FIX)
    version = info.get("codebase_version")
    if version != "v3.0":
        first = "" if version == "v2.1" else " LeRobot 0.3 brings older ones to v2.1 first."
        raise ValueError(
            f"{root} is a LeRobot data set {version}; this reader wants v3.0: {CONVERTER}.{first}"
        )
    read_typed(_Info, info, str(path))
    _check_template(info["data_path"], ("chunk_index", "file_index"), f"{path}: data_path")
    features = read_features(info["features"], f"{path}: features")
    if any(feature["dtype"] == "video" for feature in features.values()):
        if info.get("video_path") is None:
            raise ValueError(f"{path}: video_path: is missing, and there are videos; {FIX}")
        names = ("video_key", "chunk_index", "file_index")
        _check_template(info["video_path"], names, f"{path}: video_path")
    return info | {"features": features | {name: BOOKKEEPING[name] for name in NUMBERS}}


def read_features(features: Any, where: str) -> dict[str, Feature]:
    """Columns and cameras as a file describes them; a ValueError if a name, type or shape cannot be."""
    read_typed(dict[str, _Described], features, where)
    return {name: _checked(name, feature, where) for name, feature in features.items()}


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
    paths = sorted((root / PRIVATE).glob("*/*.parquet"))
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


def _check_template(template: str, fields: tuple[str, ...], where: str) -> None:
    """A path below the data set's folder, with these fields and short numbers: nothing that runs wild."""
    wrong = f"{where}: {template!r} is no path below the data set with {', '.join(fields)} in it; {FIX}"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(wrong) from error
    for _, name, width, conversion in parts:
        known = name in fields and not conversion and re.fullmatch(r"(0?[0-9]?d?)?", width or "")
        if name is not None and not known:
            raise ValueError(wrong)
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(wrong)


def _checked(name: str, feature: Feature, where: str) -> Feature:
    if "/" in name or name in ("", ".", ".."):
        raise ValueError(f"{where}: {name!r} cannot be the name of a column; {FIX}")
    shape = feature["shape"]
    if any(size < 1 for size in shape) or math.prod(shape) > LARGEST:
        raise ValueError(f"{where}: {name}.shape: {str(shape)[:60]} is no shape of a row; {FIX}")
    if not is_camera(feature):
        return feature
    if len(shape) != 3:
        raise ValueError(f"{where}: {name}.shape: {shape} is no [height, width, channels]; {FIX}")
    order = _order(feature.get("names"), shape)
    sides = {"shape": [shape[axis] for axis in order], "names": ["height", "width", "channels"]}
    return feature | sides if order != [0, 1, 2] else feature


def _order(names: Any, shape: list[int]) -> list[int]:
    """Where height, width and channels stand in a shape: by their names, else by the side of 3."""
    listed = names if isinstance(names, list) and len(names) == 3 else []
    initials = [str(name).lower()[:1] for name in listed]
    named = sorted(initials) == ["c", "h", "w"]
    if named and (shape[initials.index("c")] in CHANNELS or not {shape[0], shape[2]} & set(CHANNELS)):
        return [initials.index(letter) for letter in "hwc"]
    return [1, 2, 0] if shape[0] in CHANNELS and shape[2] not in CHANNELS else [0, 1, 2]
