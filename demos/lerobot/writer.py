"""Write demonstrations as a LeRobot data set v3.0: streaming, in constant memory, whole or not at all."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from playloop.core.files import write_json
from playloop.core.locks import NAME as LOCK
from playloop.core.locks import FolderLock
from playloop.demos.lerobot.columns import BOOKKEEPING, Feature, arrow_schema, check_rows, is_video, to_arrow
from playloop.demos.lerobot.info import PRIVATE, PRIVATE_PATH, schema_beside
from playloop.demos.lerobot.integrity import fingerprints
from playloop.demos.lerobot.metadata import (
    DATA_PATH,
    VIDEO_PATH,
    EpisodeTable,
    describe_data_set,
    write_tasks,
)
from playloop.demos.lerobot.statistics import RunningStatistics, as_image, describe, pixels
from playloop.demos.video.decoder import VideoDecoder
from playloop.demos.video.encoder import exact_rate
from playloop.demos.video.track import VideoTrack, check_part

MEGABYTE = 1_000_000
PUBLISHED = ("videos", "data", PRIVATE, "meta")


class DatasetWriter:
    """Appends episodes and, at the end, turns them into a data set in one move.

    Until `finalize` all lies under `root/.partial`; a writer that is killed leaves no `meta/info.json`, and
    the next begins anew. Use it as a context manager, or call `finalize` yourself.

    Args:
        root: the data set's folder; other files in it are left alone.
        fps: rows a second.
        features: name → `{"dtype", "shape", "names"}`; cameras have dtype "video" and shape [H, W, 3].
        private: columns that lie beside the data set, where LeRobot does not see them.
        robot_type: written to `info.json`.
        data_megabytes: size after which the next parquet file is begun.
        video_megabytes: the same for the mp4 files.
        image_samples: frames of every episode and camera that enter the image statistics.

    Raises:
        FileExistsError: if there is a finished data set in `root`.
        BlockingIOError: another process is writing one there.
    """

    def __init__(
        self,
        root: str | Path,
        fps: float,
        features: Mapping[str, Feature],
        robot_type: str | None = None,
        private: Mapping[str, Feature] | None = None,
        data_megabytes: float = 100,
        video_megabytes: float = 200,
        image_samples: int = 4,
    ):
        self.root = Path(root)
        self._stage = self.root / ".partial"
        _check_features(dict(features) | dict(private or {}))
        self._claim()
        self.private = {name: dict(feature) for name, feature in (private or {}).items()}
        self.features = {name: dict(feature) for name, feature in features.items()} | BOOKKEEPING
        self.cameras = [name for name, feature in features.items() if is_video(feature)]
        self.fps, self._rate, self._robot = fps, exact_rate(fps), robot_type
        self._schema = arrow_schema(self.features)
        self._limits = data_megabytes, video_megabytes
        self._samples = image_samples
        limit = int(video_megabytes * MEGABYTE)
        self._tracks = {
            name: VideoTrack(self._rate, partial(self._path, VIDEO_PATH, video_key=name), limit)
            for name in self.cameras
        }
        self._tables: list[pq.ParquetWriter] = []
        self._file = -1
        self._tasks: dict[str, int] = {}
        self._totals = {name: RunningStatistics(np.random.default_rng(0)) for name in self.features}
        self._image_counts = dict.fromkeys(self.cameras, 0)
        self._episodes = EpisodeTable(self._stage, self.fps)
        self.rows = 0

    @property
    def episodes(self) -> int:
        """Episodes written so far."""
        return self._episodes.length

    def add_episode(
        self, columns: Mapping[str, np.ndarray], videos: Mapping[str, str | Path], task: str
    ) -> None:
        """Append one episode.

        Args:
            columns: every feature that is not a video, private ones too, [n, *shape].
            videos: camera → mp4 with exactly n frames, as `encode_video` makes them.
            task: the instruction.

        Raises:
            ValueError: if names, shapes or frame counts do not fit; nothing is written then.
        """
        rows = self._check(columns, videos)
        table = self._table(rows, columns, self._tasks.get(task, len(self._tasks)))
        statistics = {name: describe(values) for name, values in table.items() if name in self.features}
        for name in self.cameras:
            check_part(Path(videos[name]), rows)
            statistics[name] = self._describe_video(name, Path(videos[name]), rows)
        self._tasks.setdefault(task, len(self._tasks))
        starts = {}
        for name in self.cameras:
            starts[name] = self._tracks[name].append(Path(videos[name]), rows)
        for name in self._totals.keys() & table.keys():
            self._totals[name].update(table[name])
        self._write_rows(table)
        self._episodes.add(self.rows, rows, task, self._file, starts, statistics)
        self.rows += rows

    def finalize(self, playloop: dict[str, Any] | None = None) -> Path:
        """Write the metadata and publish the data set; `playloop` becomes `meta/playloop.json`."""
        if not self.episodes:
            raise ValueError(f"No episode was written to {self.root}; there is nothing to finalize.")
        headers = {name: self._header(name) for name in self.cameras}
        self._close()
        meta = self._stage / "meta"
        write_tasks(meta / "tasks.parquet", self._tasks)
        write_json(meta / "stats.json", self._statistics())
        info = describe_data_set(self.features, headers, self.fps, self._robot, self._limits)
        counts = {"total_episodes": self.episodes, "total_frames": self.rows, "total_tasks": len(self._tasks)}
        write_json(meta / "info.json", info | counts | {"splits": {"train": f"0:{self.episodes}"}})
        if playloop is not None:
            write_json(meta / "playloop.json", playloop)
        write_json(meta / "files.json", fingerprints(self._stage))
        self._publish()
        return self.root

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._stage.exists():
            self.finalize()
        elif kind is not None:
            self._close()
            self._remove_stage()

    def _claim(self) -> None:
        if (self.root / "meta" / "info.json").exists():
            raise FileExistsError(
                f"{self.root} holds a finished data set; choose another folder or remove it."
            )
        published = [self.root / name for name in PUBLISHED]
        if not self._stage.exists() and any(path.exists() for path in published):
            raise FileExistsError(f"{self.root} holds {PUBLISHED} of something else; choose another folder.")
        self._lock = FolderLock(self._stage, "the writer of this data set").acquire()
        weakref.finalize(self, self._lock.release)  # one that is given up in this process
        for leftover in (*self._stage.iterdir(), *published):  # of a writer that was killed
            if leftover.name != LOCK:
                shutil.rmtree(leftover, ignore_errors=True)
        (self._stage / "meta").mkdir()

    def _check(self, columns: Mapping[str, np.ndarray], videos: Mapping[str, str | Path]) -> int:
        wanted = {name for name in self.features if name not in BOOKKEEPING and name not in self.cameras}
        wanted |= set(self.private)
        if set(columns) != wanted or set(videos) != set(self.cameras):
            found = sorted(set(columns) | set(videos))
            raise ValueError(f"An episode needs {sorted(wanted | set(self.cameras))}, it has {found}.")
        rows = len(next(iter(columns.values())))
        if rows == 0:
            raise ValueError("An episode needs at least one row.")
        return rows

    def _table(self, rows: int, columns: Mapping[str, np.ndarray], task: int) -> dict[str, np.ndarray]:
        frame = np.arange(rows, dtype=np.int64)
        features = self.features | self.private
        table = {name: check_rows(name, columns[name], features[name], rows) for name in columns}
        return table | {
            "timestamp": (frame / float(self._rate)).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(rows, self.episodes),
            "index": frame + self.rows,
            "task_index": np.full(rows, task),
        }

    def _describe_video(self, name: str, path: Path, rows: int) -> dict[str, np.ndarray]:
        with closing(VideoDecoder(path, self.fps)) as decoder:
            chosen = np.unique(np.linspace(0, rows - 1, min(rows, self._samples)).round().astype(int))
            frames = np.stack([decoder.frame(int(number)) for number in chosen])
        if list(frames.shape[1:]) != list(self.features[name]["shape"]):
            raise ValueError(
                f"{path} is {frames.shape[1:]}; feature {name!r} wants {self.features[name]['shape']}."
            )
        self._totals[name].update(pixels(frames))
        self._image_counts[name] += len(frames)
        return as_image(describe(pixels(frames)), len(frames))

    def _write_rows(self, table: dict[str, np.ndarray]) -> None:
        if self._tables and self._path(DATA_PATH, self._file).stat().st_size > self._limits[0] * MEGABYTE:
            self._close_tables()
        if not self._tables:
            self._file += 1
            self._tables = [self._new_table(DATA_PATH, self._schema)]
            if self.private:
                self._tables.append(self._new_table(PRIVATE_PATH, schema_beside(self.private)))
        features = self.features | self.private
        for file in self._tables:
            arrays = [to_arrow(table[name], features[name]) for name in file.schema.names]
            file.write_table(pa.Table.from_arrays(arrays, schema=file.schema))

    def _new_table(self, template: str, schema: pa.Schema) -> pq.ParquetWriter:
        path = self._path(template, self._file)
        path.parent.mkdir(parents=True, exist_ok=True)
        return pq.ParquetWriter(path, schema, compression="snappy")

    def _close_tables(self) -> None:
        while self._tables:
            self._tables.pop().close()

    def _path(self, template: str, file: int, **names: str) -> Path:
        return self._stage / template.format(chunk_index=file // 1000, file_index=file % 1000, **names)

    def _header(self, name: str) -> dict[str, Any]:
        self._tracks[name].close()
        with closing(VideoDecoder(self._path(VIDEO_PATH, 0, video_key=name), self.fps)) as decoder:
            return decoder.header

    def _statistics(self) -> dict[str, dict[str, list]]:
        results = {name: total.result() for name, total in self._totals.items()}
        for name in self.cameras:
            results[name] = as_image(results[name], self._image_counts[name])
        return {
            name: {key: np.atleast_1d(value).tolist() for key, value in result.items()}
            for name, result in results.items()
        }

    def _close(self) -> None:
        self._close_tables()
        for track in self._tracks.values():
            track.close()
        self._episodes.close()

    def _publish(self) -> None:
        # The metadata comes last, by one rename: with it the data set is whole, without it there is none.
        for name in PUBLISHED:
            if (self._stage / name).exists():
                os.replace(self._stage / name, self.root / name)
        self._remove_stage()

    def _remove_stage(self) -> None:
        shutil.rmtree(self._stage, ignore_errors=True)  # with the lock in it: nobody finds it any more
        self._lock.release()


def _check_features(features: Mapping[str, Feature]) -> None:
    for name, feature in features.items():
        if "/" in name:
            raise ValueError(f"Feature {name!r}: LeRobot forbids '/' in names; use '.'.")
        if name in BOOKKEEPING:
            raise ValueError(f"Feature {name!r} is written by the writer itself; leave it out.")
        if not {"dtype", "shape", "names"} <= set(feature):
            raise ValueError(
                f"Feature {name!r} needs 'dtype', 'shape' and 'names', it has {sorted(feature)}."
            )
