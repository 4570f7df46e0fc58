"""Record play as a LeRobot data set: frames are encoded while they come, in constant memory."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from playloop.demos.assemble import features_of, stored_columns
from playloop.demos.parts import PartWriter
from playloop.demos.trace import columns_of
from playloop.demos.writer import DatasetWriter
from playloop.envs.contract import Contract
from playloop.envs.episode import Episode
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.record import EpisodeResult
from playloop.rollouts.segment import Segment
from playloop.rollouts.video import Mp4Writer, side_by_side


@dataclass(frozen=True)
class Recorded:
    """A finished data set: its folder, its size, and a video to watch."""

    folder: Path
    episodes: int
    steps: int
    video: Path


class PlayRecorder(Callback):
    """Writes every episode, or what is played of it, to one data set; `finish` makes it whole.

    Args:
        folder: the data set's; must not hold another. `play.mp4` in it is a video to watch: everything that
            was on the stage, enlarged.
        contract: the environment's conventions.
        command: the command line, for the record.
    """

    def __init__(self, folder: Path, contract: Contract, command: str = ""):
        self.folder, self.contract, self.command = Path(folder), contract, command
        features = features_of(contract, False)
        self._writer = DatasetWriter(self.folder, contract.control_hz, features, robot_type=contract.family)
        self._scratch = self.folder / ".parts"
        self._scratch.mkdir()
        self._film = Mp4Writer(self._scratch / "film", contract.control_hz)
        self._parts: dict[str, PartWriter] = {}
        self._rows: list[Segment] = []
        self._episodes: list[Episode] = []
        self.steps = 0

    def wants(self, episode: Episode) -> Wants:
        return Wants(frames=True)

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        assert segment.frames is not None
        if not self._rows:
            self._episodes.append(episode)
            rate = self.contract.control_hz
            self._parts = {name: PartWriter(self._scratch / f"{name}.mp4", rate) for name in segment.frames}
        for camera, frames in segment.frames.items():
            for frame in frames:
                self._parts[camera].add(frame)
        segment.frames = segment.final_frames = None  # they are in the video now
        self._rows.append(segment)
        self.steps += len(segment)

    def watch(self, images: Sequence[np.ndarray]) -> None:
        """Add what is on the stage to the video to watch, each uint8 [H, W, 3]."""
        self._film.add(side_by_side(images))

    def on_end(self, result: EpisodeResult) -> None:
        self._end_episode()

    def finish(self) -> Recorded | None:
        """Close the data set; None, and nothing is left, if it holds no step."""
        self._end_episode()
        film, episodes = self.folder / "play.mp4", self._writer.episodes
        if not episodes:
            self._film.discard()
            shutil.rmtree(self.folder)
            return None
        self._film.finish(film)
        self._writer.finalize(playloop=self._provenance())
        shutil.rmtree(self._scratch)
        return Recorded(self.folder, episodes, self.steps, film)

    def _end_episode(self) -> None:
        if not self._rows:
            return
        for part in self._parts.values():
            part.close()
        columns = stored_columns(columns_of(self._rows, self.contract))
        videos = {f"observation.images.{camera}": part.path for camera, part in self._parts.items()}
        self._writer.add_episode(columns, videos, self._rows[0].instruction)
        self._parts, self._rows = {}, []

    def _provenance(self) -> dict[str, Any]:
        count = len(self._episodes)
        return {
            "contract": self.contract.to_json(),
            "command": self.command,
            "seed": self._episodes[0].seed,
            "stride": 1,
            "counts": {"kept": count, "tried": count, "failed": 0},
            "episodes": [episode.to_json() for episode in self._episodes],
        }
