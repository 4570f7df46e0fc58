"""Videos of chosen episodes; only these are rendered at every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from playloop.core.episode import Episode
from playloop.core.results import EpisodeResult
from playloop.core.segment import Segment
from playloop.demos.video.encoder import PartWriter
from playloop.rollouts.callbacks import Callback, Wants

OUTCOMES = ("success", "failure", "error")
MIN_HEIGHT = 256


def choose_videos(episodes: Sequence[Episode], videos: int | str | Iterable[str]) -> set[Episode]:
    """The episodes to record.

    Args:
        episodes: all that are wanted, also those finished earlier: a repeat then chooses the same ones.
        videos: the first so many of each task, "all", "none", or keys of episodes.
    """
    if videos in ("none", None, False):
        return set()
    if videos == "all":
        return set(episodes)
    if isinstance(videos, int):
        return _first_of_each_task(episodes, videos)
    wanted = {videos} if isinstance(videos, str) else set(videos)
    by_key = {episode.key: episode for episode in episodes}
    if unknown := sorted(wanted - by_key.keys()):
        raise ValueError(
            f"videos={unknown} name no episode of this run; give a number for each task, "
            f"an episode's key (such as {episodes[0].key}), all or none"
        )
    return {by_key[key] for key in wanted}


def _first_of_each_task(episodes: Sequence[Episode], count: int) -> set[Episode]:
    tasks: dict[tuple[str, int], list[Episode]] = {}
    for episode in episodes:
        tasks.setdefault((episode.suite, episode.task), []).append(episode)
    return {episode for found in tasks.values() for episode in found[:count]}


def video_name(episode: Episode, outcome: str) -> str:
    """The name of a finished video's file."""
    return f"{episode.key}-{outcome}.mp4"


class VideoRecorder(Callback):
    """Writes `<episode's key>-<outcome>.mp4` while the episode runs; a name appears when its video is whole.

    Args:
        folder: where the videos go.
        chosen: which episodes are recorded.
        fps: frames a second, the environment's control rate for real time.
        cameras: side by side in this order; None is all.
    """

    def __init__(
        self, folder: Path, chosen: Iterable[Episode], fps: float, cameras: Sequence[str] | None = None
    ):
        self.folder = Path(folder)
        self.chosen = frozenset(chosen)
        self.fps = fps
        self.cameras = cameras
        self._writers: dict[Episode, PartWriter] = {}

    def wants(self, episode: Episode) -> Wants:
        return Wants(frames=episode in self.chosen)

    def on_start(self, total: int, done: int) -> None:
        if self.chosen:
            self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".*.partial"):
            leftover.unlink()

    def on_begin(self, episode: Episode) -> None:
        self._discard(episode)
        if episode in self.chosen:
            self._writers[episode] = PartWriter(self.folder / episode.key, self.fps, crf=20, gop=20)

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        writer = self._writers.get(episode)
        if writer is None or segment.frames is None:
            return
        for row in range(len(segment)):
            writer.add(self._picture({name: frames[row] for name, frames in segment.frames.items()}))
        if segment.final_frames is not None:
            writer.add(self._picture(segment.final_frames))

    def on_end(self, result: EpisodeResult) -> None:
        writer = self._writers.pop(result.episode, None)
        if writer is None or not writer.frames:
            return
        outcome = "error" if result.error else "success" if result.success else "failure"
        for other in OUTCOMES:
            (self.folder / video_name(result.episode, other)).unlink(missing_ok=True)
        writer.close(self.folder / video_name(result.episode, outcome))

    def on_close(self) -> None:
        for episode in list(self._writers):
            self._discard(episode)

    def _discard(self, episode: Episode) -> None:
        if writer := self._writers.pop(episode, None):
            writer.discard()

    def _picture(self, images: dict[str, np.ndarray]) -> np.ndarray:
        return side_by_side([images[name] for name in self.cameras or images])


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
