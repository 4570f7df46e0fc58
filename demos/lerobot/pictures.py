"""The pictures of one camera in one episode, wherever they lie, for this process or another."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from playloop.core.images import upright
from playloop.demos.corrupt import CorruptFile
from playloop.demos.lerobot.episodes import read_parquet
from playloop.demos.video.decoder import VideoDecoder


@dataclass(frozen=True)
class Pictures:
    """Pictures in the order of an episode's rows; iterate over it for uint8 [H, W, 3] each.

    Args:
        root: the data set's folder.
        path: of a video below it, or of a parquet file with pictures in a column.
        indices: number of each frame in the video, or of each row in the parquet file, int64 [n].
        fps: of the video.
        size: height and width of the pictures.
        column: with the pictures, in a parquet file.
    """

    root: Path
    path: str
    indices: np.ndarray
    fps: float
    size: tuple[int, int]
    column: str | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, rows: slice) -> Pictures:
        """Some of them."""
        return replace(self, indices=self.indices[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        with closing(self.open()) as source:
            yield from (source.frame(int(index)) for index in self.indices)

    def open(self) -> VideoDecoder | StoredPictures:
        """The file that they lie in; the caller closes it."""
        if self.column is None:
            return VideoDecoder(self.root / self.path, self.fps)
        return StoredPictures(self.root, self.path, self.column, self.size)


class StoredPictures:
    """A column of pictures in a parquet file: LeRobot's `image`, PNG or JPEG bytes or the path of a file.

    Arguments are those of `Pictures`.

    Raises:
        CorruptFile: the file or the column cannot be read.
    """

    def __init__(self, root: Path, path: str, column: str, size: tuple[int, int]):
        self.root, self.path, self.column, self.size = root, root / path, column, size
        table = read_parquet(self.path, [column])
        if column not in table.column_names:
            raise CorruptFile(f"{self.path} has no column {column!r}; restore it")
        self._stored: pa.ChunkedArray = table[column]

    def frame(self, row: int) -> np.ndarray:
        """The picture of a row, uint8 [H, W, 3].

        Raises:
            CorruptFile: there is none, or it is none.
        """
        where = f"{self.path}: column {self.column!r}, row {row} of the file"
        value = self._stored[row].as_py()
        record = value if isinstance(value, dict) else {"path" if isinstance(value, str) else "bytes": value}
        content, path = record.get("bytes"), record.get("path")
        if not content and not path:
            raise CorruptFile(f"{where}: null; restore the file")
        try:
            with Image.open(io.BytesIO(content) if content else self._beside(str(path))) as stored:
                image = upright(stored)
                if image.size != self.size[::-1]:
                    raise ValueError(
                        f"{image.size[1]}×{image.size[0]} instead of {self.size[0]}×{self.size[1]}"
                    )
                return np.asarray(image.convert("RGB"))
        except (OSError, TypeError, ValueError, Image.DecompressionBombError) as error:
            raise CorruptFile(f"{where}: no picture that can be used ({error}); restore the file") from error

    def close(self) -> None:
        """Nothing is open."""

    def _beside(self, path: str) -> Path:
        """A picture's own file, below the data set's folder; there it may be a link, as in caches."""
        root = Path(os.path.abspath(self.root))
        found = Path(os.path.normpath(root / path))
        if not found.is_relative_to(root):
            raise OSError(f"{path} lies outside of the data set")
        return found


def rows_without(path: Path, column: str) -> list[int]:
    """Rows of a column of pictures that hold none; where the file's statistics say so, no picture is read.

    Raises:
        CorruptFile: there is no such column.
    """
    described = pq.read_metadata(path, memory_map=True)
    groups = [described.row_group(number) for number in range(described.num_row_groups)]
    parts = [group.column(index) for group in groups for index in range(group.num_columns)]
    full = {column, f"{column}.bytes"}
    own = [part.statistics for part in parts if part.path_in_schema in full]
    if own and all(known is not None and known.has_null_count and not known.null_count for known in own):
        return []
    table = read_parquet(path, [column])
    if column not in table.column_names:
        raise CorruptFile(f"{path} has no column {column!r} that is declared; restore it")
    stored = table[column].combine_chunks()
    lacking = stored.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_struct(stored.type):
        names = {field.name for field in stored.type} & {"bytes", "path"}
        nulls = [pc.struct_field(stored, name).is_null().to_numpy(zero_copy_only=False) for name in names]
        lacking = lacking | np.logical_and.reduce(nulls)
    return np.flatnonzero(lacking).tolist()
