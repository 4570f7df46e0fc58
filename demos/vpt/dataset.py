"""VPT's contractor recordings as demonstrations: a folder of pairs `NAME.mp4` and `NAME.jsonl`."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from playloop.core.contract import Contract
from playloop.core.minecraft import ACTION_NAMES, ACTION_SIZE, minerl_contract
from playloop.demos.corrupt import CorruptFile
from playloop.demos.lerobot.columns import BOOKKEEPING
from playloop.demos.lerobot.dataset import Demonstrations, choose_from, row_starts
from playloop.demos.lerobot.pictures import Pictures
from playloop.demos.lerobot.statistics import describe
from playloop.demos.vpt.recording import FPS, VPTRecording, null_actions, read_recording, recording_names

CAMERA = "observation.images.pov"
TASK = "play Minecraft"
SHORTEST = 2
"""Rows of an episode: one alone has no frame that its action leads to."""
WINDOW = 720
"""Height of the window in which the recorder counts the mouse's position."""
HEIGHT = 24
"""Height of the cursor's arrow in pixels of that window."""


class VPTRecordings(Demonstrations):
    """Recordings, read-only, as `Demonstrations`; where frames are left out, another episode begins.

    Columns are "action" (the action of row i is taken at frame i and leads to frame i + 1), "gui" (1 while a
    GUI is open) and the usual ones that number the rows. What is mended in the actions: see `action_vectors`.

    Args:
        root: the folder.
        on_corrupt: "refuse" to open a folder with a damaged pair, or "skip" it; `skipped` then says why.
        gui: "drop" the frames on which a GUI is open, or "mark" them: they stay, with the cursor drawn.
        skip_null: leave out the frames whose action is null, as VPT's behavioural cloning does.
        slack: frames by which a video may be longer or shorter than its lines; what is over is cut off.
        open_videos: most videos held open at a time.

    Raises:
        FileNotFoundError: there is no pair in `root`.
        CorruptFile: a pair is damaged and `on_corrupt` is "refuse".
    """

    skipped: dict[str, str]  # type: ignore[assignment]  # by the recording's name

    def __init__(
        self,
        root: str | Path,
        on_corrupt: Literal["refuse", "skip"] = "refuse",
        gui: Literal["drop", "mark"] = "drop",
        skip_null: bool = False,
        slack: int = 0,
        open_videos: int = 16,
    ):
        choose_from("on_corrupt", on_corrupt, "refuse", "skip")
        choose_from("gui", gui, "drop", "mark")
        self.root, self.fps, self.cameras = Path(root), FPS, [CAMERA]
        self.gui, self.skip_null, self.slack = gui, skip_null, slack
        self._open_files, self._open, self.private = open_videos, OrderedDict(), {}
        self._columns: dict[str, np.ndarray] = {}
        self._read(on_corrupt)
        self._cut()
        self.starts = row_starts(self.episodes)
        self.features = _features(self._recordings[self.episodes[0]["recording"]].size)
        self.info = {"fps": FPS, "features": self.features}

    def _read(self, on_corrupt: str) -> None:
        self._recordings: dict[str, VPTRecording] = {}
        self.skipped = {}
        for name in recording_names(self.root):
            try:
                recording = read_recording(self.root, name, self.slack)
                first = next(iter(self._recordings.values()), recording)
                if recording.size != first.size:
                    raise CorruptFile(
                        f"{self.root / name}.mp4 is {recording.size}, {first.name}.mp4 {first.size}; "
                        "put videos of one size into a folder."
                    )
                self._recordings[name] = recording
            except CorruptFile as error:
                self.skipped[name] = str(error)
                if on_corrupt == "refuse":
                    raise CorruptFile(
                        f"{str(error).rstrip('.')}. Or open with on_corrupt='skip' to leave such ones out."
                    ) from error

    def _cut(self) -> None:
        self.episodes = []
        for recording in self._recordings.values():
            keep = np.ones(len(recording.actions), bool)
            if self.gui == "drop":
                keep &= ~recording.gui
            if self.skip_null:
                keep &= ~null_actions(recording.actions)
            for first, last in runs(keep):
                if last - first >= SHORTEST:
                    record = {"episode_index": len(self.episodes), "length": last - first, "tasks": [TASK]}
                    self.episodes.append(record | {"recording": recording.name, "first": first})
        if not self.episodes:
            why = self.skipped or "all are dropped"
            raise CorruptFile(f"{self.root} has no {SHORTEST} frames in a row to learn from: {why}.")

    @cached_property
    def tasks(self) -> dict[int, str]:
        """One: free play has no instruction."""
        return {0: TASK}

    @cached_property
    def playloop(self) -> dict[str, Any]:
        """The contract, and how the recordings were read."""
        options = {"gui": self.gui, "skip_null": self.skip_null, "slack": self.slack}
        height, width, _ = self.features[CAMERA]["shape"]
        return {"contract": vpt_contract((height, width)).to_json(), "format": "vpt", **options}

    @cached_property
    def statistics(self) -> dict[str, dict[str, np.ndarray]]:
        """Statistics of the columns, computed; images have none."""
        names = [name for name in self.features if name != CAMERA]
        return {name: describe(self.column(name)) for name in names}

    @cached_property
    def identity(self) -> str:
        """Twelve hexadecimal digits that change with the recordings and with how they are read."""
        content = [[name, recording.digest] for name, recording in self._recordings.items()]
        text = json.dumps([content, self.gui, self.skip_null, self.slack])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _read_column(self, name: str) -> np.ndarray:
        return np.concatenate([self._piece(number, name) for number in range(len(self.episodes))])

    def _piece(self, number: int, name: str) -> np.ndarray:
        rows = np.arange(self.episodes[number]["length"])
        recording, span = self._span(number)
        columns = {
            "action": recording.actions[span],
            "gui": recording.gui[span].astype(np.int64),
            "timestamp": (rows / FPS).astype(np.float32),
            "frame_index": rows,
            "episode_index": np.full_like(rows, number),
            "index": rows + self.starts[number],
            "task_index": np.zeros_like(rows),
        }
        return columns[name]

    def frame(self, camera: str, index: int) -> np.ndarray:
        """The image of row `index`, uint8 [H, W, 3], the cursor drawn where a GUI is open."""
        image = super().frame(camera, index)
        episode = int(self.episode_index[index])
        return draw_cursor(image, self.cursors(episode)[index - int(self.starts[episode])])

    def pictures(self, camera: str, episode: int) -> Pictures:
        """The images of an episode, likewise."""
        return PicturesWithCursor(**vars(self._stored(camera, episode)), cursors=self.cursors(episode))

    def cursors(self, episode: int) -> np.ndarray:
        """Where `draw_cursor` draws on an episode's frames, float32 [n, 2]; NaN for nowhere."""
        recording, span = self._span(episode)
        return np.where(recording.gui[span, None], recording.cursor[span], np.float32(np.nan))

    def _stored(self, camera: str, episode: int) -> Pictures:
        if camera != CAMERA:
            raise KeyError(f"{self.root} has no camera {camera!r}; it has {self.cameras}.")
        record = self.episodes[episode]
        frames = record["first"] + np.arange(record["length"])
        return Pictures(self.root, f"{record['recording']}.mp4", frames, FPS, self._size(camera))

    def _span(self, episode: int) -> tuple[VPTRecording, slice]:
        record = self.episodes[episode]
        first = record["first"]
        return self._recordings[record["recording"]], slice(first, first + record["length"])


@dataclass(frozen=True)
class PicturesWithCursor(Pictures):
    """Pictures with the cursor drawn.

    Args:
        cursors: where `draw_cursor` draws on each of them, float32 [n, 2]; NaN for nowhere.
    """

    cursors: np.ndarray = field(kw_only=True)

    def __getitem__(self, rows: slice) -> PicturesWithCursor:
        """Some of them."""
        return replace(self, indices=self.indices[rows], cursors=self.cursors[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(draw_cursor, super().__iter__(), self.cursors)


def arrow(height: int) -> tuple[np.ndarray, np.ndarray]:
    """An arrow whose tip is the upper left corner: its outline and its inside, bool [height, width]."""
    rows, columns = np.ogrid[:height, : height // 2 + 1]
    shape = (columns <= rows) & (rows + columns < height)
    padded = np.pad(shape, 1)
    inside = shape & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return shape & ~inside, inside


def draw_cursor(image: np.ndarray, position: np.ndarray) -> np.ndarray:
    """A copy of an image uint8 [H, W, 3] with the cursor at `position` (x, y) of the recorder's window.

    The recorder leaves it out of the picture. Nothing is drawn where the position is NaN.
    """
    if not np.isfinite(position).all():
        return image
    image, scale = image.copy(), len(image) / WINDOW
    left, top = (round(float(value) * scale) for value in position)
    outline, inside = arrow(max(6, round(HEIGHT * scale)))  # a smaller one has no inside
    for mask, shade in ((outline, 0), (inside, 255)):
        rows, columns = np.nonzero(mask)
        rows, columns = rows + top, columns + left
        seen = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
        image[rows[seen], columns[seen]] = shade
    return image


def runs(keep: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last row of every stretch of True in bool [n]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def vpt_contract(size: tuple[int, int]) -> Contract:
    """MineRL's conventions for frames of a height and width, so that what is learned here can act there."""
    return minerl_contract(size, deterministic=False, restorable=False)


def _features(size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    return {
        "action": {"dtype": "float32", "shape": [ACTION_SIZE], "names": list(ACTION_NAMES)},
        "gui": {"dtype": "int64", "shape": [1], "names": None},
        CAMERA: {"dtype": "video", "shape": [*size, 3], "names": ["height", "width", "channels"]},
        **BOOKKEEPING,
    }
