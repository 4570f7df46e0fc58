"""Read demonstrations: a LeRobot data set v3.0, its columns as NumPy arrays and its frames by number."""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from playloop.demos.columns import from_arrow, is_video
from playloop.demos.decoder import CorruptFile, VideoDecoder
from playloop.demos.integrity import damaged_files, identify
from playloop.demos.metadata import read_tasks
from playloop.envs.contract import Contract


class Demonstrations:
    """A finished data set, read-only. Rows are numbered 0 … length - 1 over the episodes that can be read.

    Args:
        root: the data set's folder.
        on_corrupt: "refuse" to open a data set with a damaged file, or "skip" the episodes that lie in it;
            `skipped` then says which and why.
        open_videos: most videos held open at a time.

    Raises:
        FileNotFoundError: if there is no finished data set in `root`.
        CorruptFile: if a file is damaged and `on_corrupt` is "refuse".
    """

    def __init__(
        self, root: str | Path, on_corrupt: Literal["refuse", "skip"] = "refuse", open_videos: int = 16
    ):
        if on_corrupt not in ("refuse", "skip"):
            raise ValueError(f"on_corrupt is {on_corrupt!r}; choose 'refuse' or 'skip'.")
        self.root = Path(root)
        self.info = _read_info(self.root)
        self.fps: float = self.info["fps"]
        self.features: dict[str, dict[str, Any]] = self.info["features"]
        self.cameras = [name for name, feature in self.features.items() if is_video(feature)]
        self._open_videos = open_videos
        self._decoders: OrderedDict[str, VideoDecoder] = OrderedDict()
        self._columns: dict[str, np.ndarray] = {}
        self._select_episodes(on_corrupt)

    def _select_episodes(self, on_corrupt: str) -> None:
        damaged = damaged_files(self.root)
        spoilt = [name for name in damaged if name.startswith("meta/")]
        if spoilt:
            raise CorruptFile(f"{self.root / spoilt[0]}: {damaged[spoilt[0]]}; restore it from a copy.")
        episodes = _read_episodes(self.root)
        reasons = damaged | self._unreadable(episodes, damaged)
        if reasons and on_corrupt == "refuse":
            named = "; ".join(f"{self.root / name}: {reason}" for name, reason in sorted(reasons.items()))
            raise CorruptFile(
                f"{named}. Restore it, or open with on_corrupt='skip' to leave its episodes out."
            )
        self.episodes = [record for record in episodes if not set(self._files(record)) & set(reasons)]
        kept = {record["episode_index"] for record in self.episodes}
        self.skipped = {
            record["episode_index"]: next(f"{n}: {reasons[n]}" for n in self._files(record) if n in reasons)
            for record in episodes
            if record["episode_index"] not in kept
        }
        if not self.episodes:
            raise CorruptFile(f"{self.root}: no episode can be read ({self.skipped}).")
        lengths = np.array([record["length"] for record in self.episodes], dtype=np.int64)
        self.starts = np.concatenate([[0], np.cumsum(lengths)])  # [E + 1]

    @property
    def length(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])

    @cached_property
    def episode_index(self) -> np.ndarray:
        """For every row the position of its episode in `episodes`, int64 [N]."""
        return np.repeat(np.arange(len(self.episodes)), np.diff(self.starts))

    @cached_property
    def tasks(self) -> list[str]:
        """The instructions, by `task_index`."""
        return read_tasks(self.root / "meta" / "tasks.parquet")

    @cached_property
    def playloop(self) -> dict[str, Any]:
        """What the recorder noted (`meta/playloop.json`); empty for data sets of other origin."""
        path = self.root / "meta" / "playloop.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def contract(self) -> Contract | None:
        """The conventions of the environment that the data comes from, if they were recorded."""
        record = self.playloop.get("contract")
        return Contract.from_json(record) if record else None

    @cached_property
    def statistics(self) -> dict[str, dict[str, np.ndarray]]:
        """`meta/stats.json`."""
        stored = json.loads((self.root / "meta" / "stats.json").read_text())
        return {
            name: {key: np.array(value) for key, value in found.items()} for name, found in stored.items()
        }

    @cached_property
    def identity(self) -> str:
        """Twelve hexadecimal digits that change with the data set; skipped episodes are appended."""
        skipped = "-".join(map(str, sorted(self.skipped)))
        return identify(self.root) + (f"-without-{skipped}" if skipped else "")

    def column(self, name: str) -> np.ndarray:
        """All rows of a column: [N, *shape], scalars as [N]; read once, then kept.

        Raises:
            KeyError: if there is no such column, with the names of those there are.
        """
        if name not in self._columns:
            names = [key for key in self.features if key not in self.cameras]
            if name not in names:
                raise KeyError(
                    f"{self.root} has no column {name!r}; it has {names} and cameras {self.cameras}."
                )
            pieces = [self._read_column(path, name) for path in self._data_files()]
            self._columns[name] = np.concatenate(pieces)
        return self._columns[name]

    def frame(self, camera: str, index: int) -> np.ndarray:
        """The image of row `index`, uint8 [H, W, 3]."""
        if not 0 <= index < self.length:
            raise IndexError(f"Row {index} is not in 0 … {self.length - 1} of {self.root}.")
        episode = int(self.episode_index[index])
        path, first = self.video(camera, episode)
        return self._decoder(path).frame(first + index - int(self.starts[episode]))

    def frames(self, camera: str, indices: np.ndarray | list[int]) -> np.ndarray:
        """The images of several rows in any order, uint8 [n, H, W, 3]."""
        # In order of place a video is read forwards, each group of pictures once.
        order = np.argsort(indices, kind="stable")
        images = np.empty((len(order), *self.features[camera]["shape"]), dtype=np.uint8)
        for position in order:
            images[position] = self.frame(camera, int(indices[position]))
        return images

    def video(self, camera: str, episode: int) -> tuple[str, int]:
        """Where `episodes[episode]` lies: the path of its video under the root, and its first frame there."""
        if camera not in self.cameras:
            raise KeyError(f"{self.root} has no camera {camera!r}; it has {self.cameras}.")
        record = self.episodes[episode]
        return self._video_path(record, camera), round(record[f"videos/{camera}/from_timestamp"] * self.fps)

    def close(self) -> None:
        """Close the open videos."""
        while self._decoders:
            self._decoders.popitem()[1].close()

    def _decoder(self, path: str) -> VideoDecoder:
        if path not in self._decoders:
            if len(self._decoders) >= self._open_videos:
                self._decoders.popitem(last=False)[1].close()
            self._decoders[path] = VideoDecoder(self.root / path, self.fps)
        self._decoders.move_to_end(path)
        return self._decoders[path]

    def _video_path(self, record: dict[str, Any], camera: str) -> str:
        chunk, file = record[f"videos/{camera}/chunk_index"], record[f"videos/{camera}/file_index"]
        return self.info["video_path"].format(video_key=camera, chunk_index=chunk, file_index=file)

    def _data_path(self, record: dict[str, Any]) -> str:
        chunk, file = record["data/chunk_index"], record["data/file_index"]
        return self.info["data_path"].format(chunk_index=chunk, file_index=file)

    def _files(self, record: dict[str, Any]) -> list[str]:
        return [self._data_path(record), *(self._video_path(record, camera) for camera in self.cameras)]

    def _data_files(self) -> list[str]:
        return list(dict.fromkeys(self._data_path(record) for record in self.episodes))

    def _read_column(self, path: str, name: str) -> np.ndarray:
        table = _read_parquet(self.root / path, list({"index", name}))
        values, index = from_arrow(table[name], self.features[name]), table["index"].to_numpy()
        records = [record for record in self.episodes if self._data_path(record) == path]
        spans = [(record["dataset_from_index"], record["dataset_to_index"]) for record in records]
        rows = np.concatenate([np.arange(*np.searchsorted(index, span)) for span in spans])
        if len(rows) != sum(last - first for first, last in spans):
            raise CorruptFile(f"{self.root / path} lacks rows that meta/episodes lists; restore it.")
        return values[rows]

    def _unreadable(self, episodes: list[dict[str, Any]], known: dict[str, str]) -> dict[str, str]:
        """Files that cannot even be opened: what can be told of a data set without a list of fingerprints."""
        found = {}
        for name in sorted({name for record in episodes for name in self._files(record)} - set(known)):
            try:
                if name.endswith(".parquet"):
                    _read_parquet(self.root / name, [])
                else:
                    VideoDecoder(self.root / name, self.fps).close()
            except CorruptFile as error:
                found[name] = str(error)
        return found


def _read_info(root: Path) -> dict[str, Any]:
    path = root / "meta" / "info.json"
    if not path.exists():
        unfinished = (
            " A recording there is not finished; repeat its command." if (root / ".partial").exists() else ""
        )
        raise FileNotFoundError(f"{path} does not exist: {root} is not a finished data set.{unfinished}")
    info = json.loads(path.read_text())
    version = info.get("codebase_version")
    if version != "v3.0":
        raise ValueError(
            f"{root} is a LeRobot data set {version}; this reader wants v3.0. Convert it with LeRobot's "
            "`python -m lerobot.datasets.v30.convert_dataset_v21_to_v30`."
        )
    return info


def _read_episodes(root: Path) -> list[dict[str, Any]]:
    paths = sorted((root / "meta" / "episodes").rglob("*.parquet"))
    if not paths:
        raise FileNotFoundError(
            f"{root / 'meta' / 'episodes'} holds no parquet file; restore it from a copy."
        )
    records: list[dict[str, Any]] = []
    for path in paths:
        names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
        records += _read_parquet(path, names).to_pylist()
    return sorted(records, key=lambda record: record["episode_index"])


def _read_parquet(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, memory_map=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise CorruptFile(
            f"{path} is missing or not a readable parquet file ({error}); restore it."
        ) from error
