"""What a LeRobot data set holds that can be used: every file, row and value looked at before any is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from playloop.demos.corrupt import CorruptFile
from playloop.demos.lerobot.columns import BOOKKEEPING, Feature, is_video
from playloop.demos.lerobot.episodes import read_episodes, read_parquet
from playloop.demos.lerobot.info import KEYS, PRIVATE_PATH
from playloop.demos.lerobot.pictures import rows_without
from playloop.demos.lerobot.values import is_numeric, outside, read_rows
from playloop.demos.video.decoder import VideoDecoder


class Inventory:
    """The episodes of a data set, where their rows and frames lie, and what is wrong with which.

    Args:
        root: the data set's folder.
        info: `meta/info.json`, as `read_info` gives it.
        private: columns that lie beside, as `features_beside` gives them.
        damaged: path of a file → why it cannot be used.
        tasks: number → text.
        actions: names of the actions under the data set's contract; none without one.

    Attributes:
        records: of all episodes, by number.
        rows: (path of a parquet file, number of an episode) → numbers of its rows there, int64 [length].
        first: (camera, number of an episode) → number of its first frame in its video.
        reasons: number of an episode → why it cannot be used.
    """

    def __init__(
        self,
        root: Path,
        info: dict[str, Any],
        private: dict[str, Feature],
        damaged: dict[str, str],
        tasks: dict[int, str],
        actions: tuple[str, ...],
    ):
        self.root, self._info, self._tasks, self._actions = root, info, tasks, actions
        self._features = info["features"]
        self.videos = [name for name, feature in self._features.items() if is_video(feature)]
        self.records = read_episodes(root, self.videos)
        self.rows: dict[tuple[str, int], np.ndarray] = {}
        self.first: dict[tuple[str, int], int] = {}
        self.reasons: dict[int, str] = {}
        self._damaged = damaged
        for record in self.records:
            if not record["length"]:
                self._blame(record["episode_index"], f"{root}: episode {record['episode_index']} has no rows")
        self._each_file(self.data_path, partial(self._read_table, features=self._features))
        if private:
            features = {name: BOOKKEEPING[name] for name in KEYS} | private
            self._each_file(self.beside_path, partial(self._read_table, features=features))
        for camera in self.videos:
            self._each_file(partial(self.video_path, camera=camera), partial(self._read_video, camera=camera))

    def data_path(self, record: dict[str, Any]) -> str:
        """The parquet file of an episode, below the root."""
        return _path(self._info["data_path"], record, "data")

    def beside_path(self, record: dict[str, Any]) -> str:
        """The file of its private columns."""
        return _path(PRIVATE_PATH, record, "data")

    def video_path(self, record: dict[str, Any], camera: str) -> str:
        """The video of an episode."""
        return _path(self._info["video_path"], record, f"videos/{camera}", video_key=camera)

    def _each_file(self, path_of: Any, read: Any) -> None:
        """Read every file once, with the episodes in it; whatever is wrong with it is wrong with them."""
        episodes = defaultdict(list)
        for record in self.records:
            if record["length"]:
                episodes[path_of(record)].append(record)
        for path, records in episodes.items():
            try:
                if path in self._damaged:
                    raise CorruptFile(f"{self.root / path}: {self._damaged[path]}")
                read(path, records)
            except CorruptFile as error:
                for record in records:
                    self._blame(record["episode_index"], str(error))

    def _blame(self, episode: int, reason: str) -> None:
        self.reasons.setdefault(episode, reason)

    # ------------------------------------------------------------------------------------------- tables

    def _read_table(self, path: str, records: list[dict[str, Any]], features: dict[str, Feature]) -> None:
        """Find the rows of the episodes in a parquet file, and look at every value of theirs."""
        names = [name for name, feature in features.items() if is_numeric(feature)]
        table, where = read_parquet(self.root / path, names), self.root / path
        if missing := [name for name in names if name not in table.column_names]:
            raise CorruptFile(f"{where} has no column {missing[0]!r} that is declared; restore it")
        episodes, frames = (read_rows(table[name], features[name])[0] for name in KEYS)
        wanted = [(record["episode_index"], record["length"]) for record in records]
        found, lacking = _find_rows(episodes, frames, wanted)
        for number, reason in lacking.items():
            self._blame(number, f"{where} {reason}")
        self.rows |= {(path, number): rows for number, rows in found.items()}
        for name in names:
            values, faults = read_rows(table[name], features[name])
            beyond = np.flatnonzero(outside(name, values, self._actions))
            faults |= {int(row): "outside of what is declared for it" for row in beyond if row not in faults}
            for row in sorted(faults):
                at = f"episode {episodes[row]}, row {frames[row]}"
                self._blame(int(episodes[row]), f"{where}: column {name!r}, {at}: {faults[row]}")
            if name == "task_index":
                self._check_tasks(where, values, records, found)
        for name in [name for name, feature in features.items() if feature["dtype"] == "image"]:
            for row in rows_without(where, name):
                at = f"episode {episodes[row]}, row {frames[row]}"
                self._blame(int(episodes[row]), f"{where}: column {name!r}, {at}: no picture")

    def _check_tasks(
        self, where: Path, numbers: np.ndarray, records: list[dict[str, Any]], found: dict[int, np.ndarray]
    ) -> None:
        """Every row's task has a text, and none that contradicts what the table of episodes says."""
        known = set(self._tasks.values())
        for record in records:
            episode, said = record["episode_index"], record.get("tasks") or []
            for number in np.unique(numbers[found.get(episode, np.zeros(0, np.int64))]).tolist():
                if number not in self._tasks:
                    there = f"meta/tasks.parquet (numbers there: {sorted(self._tasks)[:10]})"
                    self._blame(
                        episode, f"{where}: episode {episode} has task {number}, which is not in {there}"
                    )
                elif set(said) & known and self._tasks[number] not in said:
                    there = f"{self._tasks[number]!r} in meta/tasks.parquet, but {said} in meta/episodes"
                    self._blame(episode, f"{where}: episode {episode} has task {number}, {there}")

    # ------------------------------------------------------------------------------------------- videos

    def _read_video(self, path: str, records: list[dict[str, Any]], camera: str) -> None:
        """Find the first frame of each episode in a video, without decoding one."""
        with closing(VideoDecoder(self.root / path, self._info["fps"])) as decoder:
            self._check_size(path, camera, decoder.size)
            found = self._first_frames(path, records, camera, decoder)
        self.first |= {(camera, r["episode_index"]): first for r, first in zip(records, found, strict=True)}

    def _first_frames(
        self, path: str, records: list[dict[str, Any]], camera: str, decoder: VideoDecoder
    ) -> list[int]:
        """Where episodes fill their video, each begins after the one before it, whatever the clock says."""
        begins = np.array([record[f"videos/{camera}/from_timestamp"] for record in records])
        lengths = np.array([record["length"] for record in records])
        order = np.argsort(begins, kind="stable")
        filled, rows = np.zeros(len(records), np.int64), int(lengths.sum())
        filled[order] = np.cumsum(lengths[order]) - lengths[order]
        if decoder.length == rows and (np.diff(begins[order]) > 0).all():
            return filled.tolist()
        first = np.round(np.minimum(begins * self._info["fps"], decoder.length)).astype(np.int64)
        ends = first + lengths
        if (first[order][1:] < ends[order][:-1]).any() or ends.max() > decoder.length or not decoder.on_time:
            raise CorruptFile(
                f"{self.root / path} has {decoder.length} frames, its episodes have {rows} rows: which frame "
                "belongs to which row is unknown; restore it"
            )
        return first.tolist()

    def _check_size(self, path: str, camera: str, size: tuple[int, int]) -> None:
        declared = tuple(self._features[camera]["shape"][:2])
        if declared != size:
            raise CorruptFile(
                f"{self.root / path} is {size[0]}×{size[1]}, meta/info.json declares {camera} as "
                f"{declared[0]}×{declared[1]}; correct the shape there, or restore the video"
            )


def _path(template: str, record: dict[str, Any], what: str, **names: str) -> str:
    numbers = {name: record[f"{what}/{name}"] for name in ("chunk_index", "file_index")}
    return template.format(**numbers, **names)


def _find_rows(
    episodes: np.ndarray, frames: np.ndarray, wanted: Iterable[tuple[int, int]]
) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """By the number of each wanted episode (number, length) its rows in the order of frames, or why none.

    `episodes` and `frames` number every row, [n] each.
    """
    order = np.lexsort((frames, episodes))
    sorted_episodes, sorted_frames = episodes[order], frames[order]
    found, missing = {}, {}
    for number, length in wanted:
        first, last = np.searchsorted(sorted_episodes, [number, number + 1])
        if last - first != length:
            missing[number] = f"has {last - first} rows of episode {number}, meta/episodes lists {length}"
        elif not np.array_equal(sorted_frames[first:last], np.arange(length)):
            missing[number] = f"does not number the rows of episode {number} 0, 1, … in frame_index"
        else:
            found[number] = order[first:last]
    return found, missing
