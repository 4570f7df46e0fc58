"""What happened in an episode, without images: one npz file each, from which images can be drawn later."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import remove_empty, write_atomic
from playloop.core.results import EpisodeResult
from playloop.core.segment import Segment
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.video import Filming

CHUNK = 8
"""Actions that a row of a data set carries: its own and the next seven."""


def trace_path(folder: Path, episode: Episode) -> Path:
    """Where an episode's trace lies."""
    return Path(folder) / "traces" / f"{episode.key}.npz"


def video_path(folder: Path, episode: Episode, camera: str) -> Path:
    """Where the frames of one camera in one episode lie until the data set is assembled."""
    return Path(folder) / "frames" / f"{episode.key}.{camera}.mp4"


class TraceRecorder(Callback):
    """Keeps the traces of successful episodes; failed ones leave only their line in `episodes.jsonl`.

    States of which images are drawn later are kept if the environment is restorable.
    """

    def __init__(self, folder: Path, contract: Contract) -> None:
        self.folder, self.contract = Path(folder), contract
        self._segments: dict[Episode, list[Segment]] = {}

    def wants(self, episode: Episode) -> Wants:
        return Wants(trace=self.contract.restorable)

    def on_start(self, total: int, done: int) -> None:
        (self.folder / "traces").mkdir(parents=True, exist_ok=True)

    def on_close(self) -> None:
        remove_empty(self.folder / "traces")

    def on_begin(self, episode: Episode) -> None:
        self._segments[episode] = []

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        self._segments[episode].append(segment)

    def on_end(self, result: EpisodeResult) -> None:
        segments = self._segments.pop(result.episode, [])
        if result.success and result.error is None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **columns_of(segments, self.contract))
            write_atomic(trace_path(self.folder, result.episode), buffer.getvalue())


class FrameRecorder(Filming):
    """Keeps images of successful episodes as they come, where there is no way back to a state."""

    def __init__(self, folder: Path, fps: float, stride: int = 1) -> None:
        super().__init__(folder, fps)
        self.stride = stride
        self._steps: dict[Episode, int] = {}

    def on_start(self, total: int, done: int) -> None:
        (self.folder / "frames").mkdir(parents=True, exist_ok=True)

    def on_close(self) -> None:
        super().on_close()
        remove_empty(self.folder / "frames")

    def wants(self, episode: Episode) -> Wants:
        return Wants(frames=True)

    def on_begin(self, episode: Episode) -> None:
        super().on_begin(episode)
        self._steps[episode] = 0

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        assert segment.frames is not None
        first = -self._steps[episode] % self.stride
        for camera, frames in segment.frames.items():
            for image in frames[first :: self.stride]:
                self.add(episode, video_path(self.folder, episode, camera), image)
        self._steps[episode] += len(segment)

    def on_end(self, result: EpisodeResult) -> None:
        if result.success and result.error is None:
            self.keep(result.episode)
        else:
            self.discard(result.episode)


def columns_of(segments: list[Segment], contract: Contract) -> dict[str, np.ndarray]:
    """An episode's columns, one row a step, and its instruction.

    `expert` is 1 where all actions of the row's chunk are the agent's own and none an injected disturbance.
    """
    actions = np.concatenate([segment.actions for segment in segments]).astype(np.float32)  # [n, A]
    own = np.concatenate([np.full(len(s), (s.plan_info or {}).get("expert", 1)) for s in segments])
    truth = [segment.privileged or {} for segment in segments]
    columns = {
        "action": actions,
        "action_chunk": chunks(actions, contract.action_names[-1] == "gripper"),
        "expert": chunks(own[:, None], True).min(axis=(1, 2)).astype(np.int64),
        "state": np.concatenate([segment.states for segment in segments]).astype(np.float32),
        "instruction": np.array(segments[0].instruction),
    }
    if all(segment.snapshots is not None for segment in segments):
        columns["snapshots"] = np.concatenate([segment.snapshots for segment in segments])
    if all({"pick", "place"} <= part.keys() for part in truth):
        boxes = [np.concatenate([part[name] for part in truth]).mean(1) for name in ("pick", "place")]
        columns["target"] = np.concatenate(boxes, axis=1).astype(np.float32)  # [n, 6]
    return columns


def chunks(actions: np.ndarray, holds: bool) -> np.ndarray:
    """Every row's action and the next seven: [n, A] → [n, 8, A].

    After the end everything rests; the last entry, a gripper, stays as it was if it `holds`.
    """
    rest = np.zeros_like(actions[-1:])
    if holds:
        rest[..., -1] = actions[-1, -1]
    padded = np.concatenate([actions, np.repeat(rest, CHUNK - 1, axis=0)])
    return np.stack([padded[index : index + len(actions)] for index in range(CHUNK)], axis=1)
