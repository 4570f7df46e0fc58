"""Read demonstrations: a LeRobot data set v3.0, its columns as NumPy arrays and its frames by number."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from playloop.core.checked import read_typed
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import read_json
from playloop.core.formats import format_of
from playloop.demos.corrupt import CorruptFile
from playloop.demos.lerobot.columns import Feature, is_camera, is_video
from playloop.demos.lerobot.episodes import read_parquet, read_tasks
from playloop.demos.lerobot.info import FIX, features_beside, read_info
from playloop.demos.lerobot.integrity import WITHOUT, damaged_files, identify
from playloop.demos.lerobot.inventory import Inventory
from playloop.demos.lerobot.pictures import Pictures, StoredPictures
from playloop.demos.lerobot.values import is_numeric, read_rows
from playloop.demos.video.decoder import VideoDecoder

NAMED = 3
"""Faults that a refusal names; the rest are counted."""


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
        choose_from("on_corrupt", on_corrupt, "refuse", "skip")
        self.root = Path(root)
        self.info = read_info(self.root)
        self.fps: float = self.info["fps"]
        self.private = features_beside(self.root)
        self.features: dict[str, Feature] = self.info["features"] | self.private
        self.cameras = [name for name, feature in self.features.items() if is_camera(feature)]
        self._open_files = open_videos
        self._open: OrderedDict[tuple[str, str | None], VideoDecoder | StoredPictures] = OrderedDict()
        self._columns: dict[str, np.ndarray] = {}
        self._select_episodes(on_corrupt)

    def _select_episodes(self, on_corrupt: str) -> None:
        damaged = damaged_files(self.root)
        spoilt = [name for name in damaged if name.startswith("meta/")]
        if spoilt:
            raise CorruptFile(f"{self.root / spoilt[0]}: {damaged[spoilt[0]]}; restore it from a copy.")
        if self.contract is not None:
            _check_contract(self.contract, self.features, self._contract_path)
        actions = () if self.contract is None else self.contract.action_names
        self._inventory = Inventory(self.root, self.info, self.private, damaged, self.tasks, actions)
        self.skipped = self._inventory.reasons
        if on_corrupt == "refuse" and (damaged or self.skipped):
            unused = [f"{self.root / name}: {reason}" for name, reason in sorted(damaged.items())]
            reasons = [reason.rstrip(".") for reason in dict.fromkeys(self.skipped.values())] or unused
            more = f" (and {len(reasons) - NAMED} more)" if len(reasons) > NAMED else ""
            raise CorruptFile(
                f"{'; '.join(reasons[:NAMED])}{more}. Restore it, or open with on_corrupt='skip' to leave "
                "its episodes out."
            )
        records = self._inventory.records
        self.episodes = [record for record in records if record["episode_index"] not in self.skipped]
        if not self.episodes:
            raise CorruptFile(f"{self.root}: no episode can be read ({self.skipped}).")
        self.starts = row_starts(self.episodes)

    @property
    def length(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])

    @cached_property
    def episode_index(self) -> np.ndarray:
        """For every row the position of its episode in `episodes`, int64 [N]."""
        return np.repeat(np.arange(len(self.episodes)), np.diff(self.starts))

    @cached_property
    def tasks(self) -> dict[int, str]:
        """The instructions by their number, `task_index`; numbers may have gaps."""
        return read_tasks(self.root / "meta" / "tasks.parquet")

    @cached_property
    def playloop(self) -> dict[str, Any]:
        """What the recorder noted (`meta/playloop.json`); empty for data sets of other origin."""
        path = self.root / "meta" / "playloop.json"
        noted = read_json(path, FIX) if path.exists() else {}
        format_of(noted, path)
        return noted

    def identity_of(self, episode: int) -> Episode:
        """Which episode of its environment `episodes[episode]` is.

        Raises:
            ValueError: the recorder did not note it, or for other episodes than there are.
        """
        where, listed = self.root / "meta" / "playloop.json", self.playloop.get("episodes")
        numbers = [*self.skipped, *(record["episode_index"] for record in self.episodes)]
        if not isinstance(listed, list) or len(listed) != len(numbers):
            said = len(listed) if isinstance(listed, list) else "no"
            raise ValueError(
                f"{where} names {said} episodes, the data set has {len(numbers)}: which is which is "
                "unknown; record it anew"
            )
        index = sorted(numbers).index(self.episodes[episode]["episode_index"])
        return read_typed(Episode, listed[index], f"{where}: episodes.{index}")

    @cached_property
    def contract(self) -> Contract | None:
        """The conventions of the environment that the data comes from, if they were recorded."""
        record = self.playloop.get("contract")
        return None if record is None else Contract.from_json(record, self._contract_path)

    @property
    def _contract_path(self) -> str:
        return f"{self.root / 'meta' / 'playloop.json'}: contract"

    @cached_property
    def statistics(self) -> dict[str, dict[str, np.ndarray]]:
        """`meta/stats.json`."""
        path = self.root / "meta" / "stats.json"
        stored: dict[str, dict[str, Any]]
        stored = read_typed(dict[str, dict[str, Any]], read_json(path, FIX), str(path))
        return {
            name: {key: _numbers(value, f"{path}: {name}.{key}") for key, value in found.items()}
            for name, found in stored.items()
        }

    @cached_property
    def identity(self) -> str:
        """Twelve hexadecimal digits that change with the data set; skipped episodes are appended."""
        skipped = "-".join(map(str, sorted(self.skipped)))
        return identify(self.root) + (f"{WITHOUT}{skipped}" if skipped else "")

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
            self._columns[name] = self._read_column(name)
        return self._columns[name]

    def frame(self, camera: str, index: int) -> np.ndarray:
        """The image of row `index`, uint8 [H, W, 3]."""
        if not 0 <= index < self.length:
            raise IndexError(f"Row {index} is not in 0 … {self.length - 1} of {self.root}.")
        episode = int(self.episode_index[index])
        stored = self._stored(camera, episode)
        return self._source(stored).frame(int(stored.indices[index - int(self.starts[episode])]))

    def frames(self, camera: str, indices: np.ndarray | list[int]) -> np.ndarray:
        """The images of several rows in any order, uint8 [n, H, W, 3]."""
        # In the order of rows a video is read forwards, each group of pictures once.
        order = np.argsort(indices, kind="stable")
        images = np.empty((len(order), *self._size(camera), 3), dtype=np.uint8)  # grey ones, too
        for position in order:
            images[position] = self.frame(camera, int(indices[position]))
        return images

    def pictures(self, camera: str, episode: int) -> Pictures:
        """The images of `episodes[episode]`, to be read here or in another process."""
        return self._stored(camera, episode)

    def close(self) -> None:
        """Close the open videos."""
        while self._open:
            self._open.popitem()[1].close()

    def _stored(self, camera: str, episode: int) -> Pictures:
        if camera not in self.cameras:
            raise KeyError(f"{self.root} has no camera {camera!r}; it has {self.cameras}.")
        record, found = self.episodes[episode], self._inventory
        if is_video(self.features[camera]):
            first = found.first[camera, record["episode_index"]]
            path, indices = found.video_path(record, camera), np.arange(first, first + record["length"])
            return Pictures(self.root, path, indices, self.fps, self._size(camera))
        path = found.data_path(record)
        indices = found.rows[path, record["episode_index"]]
        return Pictures(self.root, path, indices, self.fps, self._size(camera), camera)

    def _size(self, camera: str) -> tuple[int, int]:
        height, width, _ = self.features[camera]["shape"]
        return height, width

    def _source(self, pictures: Pictures) -> VideoDecoder | StoredPictures:
        """The open file of pictures; the last used stay open."""
        key = (pictures.path, pictures.column)
        if key not in self._open:
            if len(self._open) >= self._open_files:
                self._open.popitem(last=False)[1].close()
            self._open[key] = pictures.open()
        self._open.move_to_end(key)
        return self._open[key]

    def _read_column(self, name: str) -> np.ndarray:
        """A column's rows in the order of `episodes`, wherever they lie in which files."""
        found, feature = self._inventory, self.features[name]
        path_of = found.beside_path if name in self.private else found.data_path
        pieces: list[Any] = [None] * len(self.episodes)
        for path in dict.fromkeys(map(path_of, self.episodes)):
            table = read_parquet(self.root / path, [name])
            if name not in table.column_names:
                raise CorruptFile(f"{self.root / path} has no column {name!r} that is declared; restore it")
            numeric = is_numeric(feature)
            values = read_rows(table[name], feature)[0] if numeric else table[name].to_numpy()
            for episode, record in enumerate(self.episodes):
                if path_of(record) == path:
                    pieces[episode] = values[found.rows[path, record["episode_index"]]]
        return np.concatenate(pieces)


def choose_from(name: str, value: str, one: str, other: str) -> None:
    """Raise a ValueError unless a setting is one of two words."""
    if value not in (one, other):
        raise ValueError(f"{name} is {value!r}; choose {one!r} or {other!r}.")


def row_starts(episodes: list[dict[str, Any]]) -> np.ndarray:
    """The number of each episode's first row, and one past the last row of all, int64 [E + 1]."""
    return np.cumsum([0, *(record["length"] for record in episodes)])


def _check_contract(contract: Contract, features: dict[str, Feature], where: str) -> None:
    """Refuse conventions that speak of other actions, states or pictures than the columns hold."""
    sizes = {"action": len(contract.action_names), "observation.state": len(contract.state_names)}
    for name, size in sizes.items():
        shape = features[name]["shape"] if name in features else [size]
        if list(shape) != [size]:
            raise ValueError(
                f"{where}: it names {size} numbers of {name}, the data set's column has the shape {shape}; "
                "give the contract of the environment that was recorded"
            )
    for camera, sides in contract.cameras.items():
        feature = features.get(f"observation.images.{camera}")
        height, width = feature["shape"][:2] if feature is not None else sides
        if (height, width) != tuple(sides):
            raise ValueError(
                f"{where}: its camera {camera} is {sides[0]}×{sides[1]}, the data set's is {height}×{width}; "
                "give the contract of the environment that was recorded"
            )


def _numbers(value: Any, where: str) -> np.ndarray:
    try:
        return np.array(value, np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: holds something else than numbers ({error}); {FIX}") from error
