"""Videos of chosen episodes; only these are rendered at every step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.episode import Episode
from playloop.core.files import remove_empty
from playloop.core.results import EpisodeResult
from playloop.core.segment import Segment
from playloop.demos.video.encoder import PartWriter
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.selection import by_task

OUTCOMES = ("success", "failure", "error")
FAILURES = "failures"
"""Instead of a choice of videos: those of episodes that fail, which is known at their end."""
MIN_HEIGHT = 256


def choose_videos(episodes: Sequence[Episode], videos: int | str | Iterable[str]) -> set[Episode]:
    """The episodes to record.

    Args:
        episodes: all that are wanted, also those finished earlier: a repeat then chooses the same ones.
        videos: the first so many of each task, "all", "none", or keys of episodes; of "failures" any may
            be one.
    """
    if videos in ("none", None, False):
        return set()
    if videos in ("all", FAILURES):
        return set(episodes)
    if isinstance(videos, int):
        return {episode for found in by_task(episodes).values() for episode in found[:videos]}
    wanted = {videos} if isinstance(videos, str) else set(videos)
    by_key = {episode.key: episode for episode in episodes}
    if unknown := sorted(wanted - by_key.keys()):
        raise ValueError(
            f"videos={unknown} name no episode of this run; give a number for each task, "
            f"an episode's key (such as {episodes[0].key}), failures, all or none"
        )
    return {by_key[key] for key in wanted}


def outcome_of(result: EpisodeResult) -> str:
    """One of `OUTCOMES`."""
    return "error" if result.error else "success" if result.success else "failure"


def video_name(episode: Episode, outcome: str) -> str:
    """The name of a finished video's file."""
    return f"{episode.key}-{outcome}.mp4"


class Filming(Callback):
    """Writes frames of episodes while they run, to videos by name; one appears when it is whole.

    Args:
        folder: where the videos go.
        fps: frames a second, the environment's control rate for real time.
    """

    def __init__(self, folder: Path, fps: float):
        self.folder, self.fps = Path(folder), fps
        self._writers: dict[Episode, dict[str, PartWriter]] = {}

    def on_begin(self, episode: Episode) -> None:
        self.discard(episode)
        self._writers[episode] = {}

    def on_close(self) -> None:
        for episode in list(self._writers):
            self.discard(episode)

    def add(self, episode: Episode, path: Path, image: np.ndarray, **quality: Any) -> None:
        """Append a frame uint8 [H, W, 3] to the episode's video that will be at `path`."""
        writers = self._writers[episode]
        if path.name not in writers:
            writers[path.name] = PartWriter(path, self.fps, **quality)
        writers[path.name].add(image)

    def keep(self, episode: Episode, path: Path | None = None) -> None:
        """Give the episode's videos their names, or its only one another."""
        for writer in self._writers[episode].values():
            writer.close(path)
        self.discard(episode)

    def discard(self, episode: Episode) -> None:
        """Leave nothing of the episode's videos that have no name yet."""
        for writer in self._writers.pop(episode, {}).values():
            writer.discard()


class VideoRecorder(Filming):
    """Writes `<episode's key>-<outcome>.mp4` of chosen episodes, all cameras side by side.

    Of these, it keeps the videos that end as `kept` says.
    """

    def __init__(self, folder: Path, chosen: Iterable[Episode], fps: float, kept: Collection[str] = OUTCOMES):
        super().__init__(folder, fps)
        self.chosen, self.kept = frozenset(chosen), kept

    def wants(self, episode: Episode) -> Wants:
        return Wants(frames=episode in self.chosen)

    def on_start(self, total: int, done: int) -> None:
        if self.chosen:
            self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".*.partial"):
            leftover.unlink()

    def on_close(self) -> None:
        super().on_close()
        remove_empty(self.folder)

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        if episode not in self.chosen or segment.frames is None:
            return
        for images in zip(*segment.frames.values(), strict=True):
            self._show(episode, images)
        if segment.final_frames is not None:
            self._show(episode, list(segment.final_frames.values()))

    def _show(self, episode: Episode, images: Sequence[np.ndarray]) -> None:
        self.add(episode, self.folder / episode.key, side_by_side(images), crf=20, gop=20)

    def on_end(self, result: EpisodeResult) -> None:
        outcome = outcome_of(result)
        if not self._writers.get(result.episode) or outcome not in self.kept:
            return self.discard(result.episode)
        for other in OUTCOMES:
            (self.folder / video_name(result.episode, other)).unlink(missing_ok=True)
        self.keep(result.episode, self.folder / video_name(result.episode, outcome))


def side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    """Cameras beside one another, enlarged to a watchable height, with even sides as H.264 needs."""
    height = max(image.shape[0] for image in images)
    height = max(1, -(-MIN_HEIGHT // height)) * height
    scaled = [_enlarged(image, height) for image in images]
    picture = np.concatenate(scaled, axis=1)
    return np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])


def _enlarged(image: np.ndarray, height: int) -> np.ndarray:
    """Nearest pixels, so that a small image is shown as the agent sees it."""
    rows = np.arange(height) * image.shape[0] // height
    width = image.shape[1] * height // image.shape[0]
    return image[rows][:, np.arange(width) * image.shape[1] // width]
