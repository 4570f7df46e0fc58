"""Record play as a LeRobot data set: everything goes to disk as it comes, so that no kill loses it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import write_json
from playloop.core.locks import FolderLock
from playloop.core.results import EpisodeResult
from playloop.core.segment import Segment
from playloop.demos.video.encoder import PartWriter
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.play.completing import FILM, HEAD, PARTS, ROWS, FinishedRecording, complete, part_name
from playloop.rollouts.video import side_by_side

PURPOSE = "a recording of playloop play"


class RecordingStopped(Exception):
    """A recording cannot go on; says why, and where what there is of it lies."""


class PlayRecorder(Callback):
    """Writes every episode, or what is played of it, to one data set; `finish` makes it whole.

    Until then the parts lie in its folder (see `completing`), whose lock is held.

    Args:
        folder: the data set's; must not hold another. `play.mp4` in it is a video to watch: everything that
            was on the page, enlarged.
        contract: the environment's conventions.
        command: the command line, for the record.

    Raises:
        RecordingStopped: the folder cannot be written; so do the methods.
    """

    def __init__(self, folder: Path, contract: Contract, command: str = ""):
        self.folder, self.contract = Path(folder), contract
        self.steps = 0
        self._parts: dict[str, PartWriter] = {}
        self._episode: Episode | None = None
        self._episodes = 0
        self._rows: IO[str] | None = None
        self._lock = FolderLock(self.folder, PURPOSE)
        parts = self.folder / PARTS
        self._film = PartWriter(parts / FILM, contract.control_hz, crf=20, gop=20, growing=True)
        with self._or_stop():
            self._lock.acquire()
            parts.mkdir()
            write_json(parts / HEAD, {"contract": contract.to_json(), "command": command})
            self._rows = (parts / ROWS).open("a", encoding="utf-8")

    def wants(self, episode: Episode) -> Wants:
        return Wants(frames=True)

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        assert segment.frames is not None
        with self._or_stop():
            if self._episode is None:
                self._begin(episode, segment)
            for camera, frames in segment.frames.items():
                for frame in frames:
                    self._parts[camera].add(frame)
            expert = (segment.plan_info or {}).get("expert", 1)
            own = np.broadcast_to(np.asarray(expert, int), len(segment))
            for action, state, mine in zip(segment.actions, segment.states, own, strict=True):
                self._note(action=action.tolist(), state=state.tolist(), expert=int(mine))
        segment.frames = segment.final_frames = None  # they are in the video now
        self.steps += len(segment)

    def watch(self, images: Sequence[np.ndarray]) -> None:
        """Add what is on the page to the video to watch, each uint8 [H, W, 3]."""
        with self._or_stop():
            self._film.add(side_by_side(images))

    def on_end(self, result: EpisodeResult) -> None:
        with self._or_stop():
            self._end()

    def finish(self) -> FinishedRecording | None:
        """Make the data set whole; None, and nothing is left, if it holds no step."""
        with self._or_stop():
            self._close()
            done = complete(self.folder)
        self._lock.release()
        if done is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        return done

    def _begin(self, episode: Episode, segment: Segment) -> None:
        rate, names = self.contract.control_hz, segment.frames or {}
        parts = self.folder / PARTS
        self._parts = {
            name: PartWriter(parts / part_name(self._episodes, name), rate, growing=True) for name in names
        }
        self._episode = episode
        self._episodes += 1
        self._note(episode=episode.to_json(), instruction=segment.instruction)

    def _note(self, **facts: object) -> None:
        """A line on disk: it outlives this process from now on."""
        assert self._rows is not None
        self._rows.write(json.dumps(facts, ensure_ascii=False) + "\n")
        self._rows.flush()

    def _end(self) -> None:
        self._episode, parts = None, list(self._parts.values())
        self._parts = {}
        for part in parts:
            if part.frames:
                part.close()

    def _close(self) -> None:
        self._end()
        if self._film.frames:
            self._film.close()
        if self._rows is not None:
            self._rows.close()

    @contextlib.contextmanager
    def _or_stop(self) -> Iterator[None]:
        """An error, a full disk for instance, ends the recording and leaves its parts as they are."""
        try:
            yield
        except (OSError, ValueError) as error:  # FFmpeg's errors are both
            with contextlib.suppress(OSError, ValueError):
                self._close()
            self._lock.release()
            why = getattr(error, "strerror", None) or str(error)
            if not (self.folder / PARTS / ROWS).exists() or not self.steps:
                shutil.rmtree(self.folder / PARTS, ignore_errors=True)
                with contextlib.suppress(OSError):
                    self.folder.rmdir()
                raise RecordingStopped(f"{self.folder} cannot be recorded to: {why}") from error
            raise RecordingStopped(
                f"the recording in {self.folder} stopped after {self.steps} steps: {why}; once that is "
                "mended, the next playloop play makes a data set of them"
            ) from error
