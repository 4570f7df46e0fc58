"""What happened in an episode, without images: one npz file each, from which images can be drawn later."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from playloop.envs.episode import Episode
from playloop.rollouts.callbacks import Callback, Wants
from playloop.rollouts.files import write_atomic
from playloop.rollouts.record import EpisodeResult
from playloop.rollouts.segment import Segment

CHUNK = 8
"""Actions that a row of a data set carries: its own and the next seven."""


def trace_path(folder: Path, episode: Episode) -> Path:
    """Where an episode's trace lies."""
    return Path(folder) / "traces" / f"{episode.key}.npz"


class TraceRecorder(Callback):
    """Keeps the traces of successful episodes; failed ones leave only their line in `episodes.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        (self.folder / "traces").mkdir(parents=True, exist_ok=True)
        self._segments: dict[Episode, list[Segment]] = {}

    def wants(self, episode: Episode) -> Wants:
        return Wants(trace=True)

    def on_begin(self, episode: Episode) -> None:
        self._segments[episode] = []

    def on_segment(self, episode: Episode, segment: Segment) -> None:
        self._segments[episode].append(segment)

    def on_end(self, result: EpisodeResult) -> None:
        segments = self._segments.pop(result.episode, [])
        if result.success and result.error is None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **columns_of(segments))
            write_atomic(trace_path(self.folder, result.episode), buffer.getvalue())


def columns_of(segments: list[Segment]) -> dict[str, np.ndarray]:
    """An episode's columns, one row a step, and its instruction.

    `expert` is 1 where all actions of the row's chunk are the agent's own and none an injected disturbance.
    """
    actions = np.concatenate([segment.actions for segment in segments]).astype(np.float32)  # [n, A]
    own = np.concatenate([np.full(len(s), (s.plan_info or {}).get("expert", 1)) for s in segments])
    truth = [segment.privileged or {} for segment in segments]
    columns = {
        "action": actions,
        "action_chunk": chunks(actions),
        "expert": chunks(own[:, None]).min(axis=(1, 2)).astype(np.int64),
        "state": np.concatenate([segment.states for segment in segments]).astype(np.float32),
        "snapshots": np.concatenate(
            [segment.snapshots for segment in segments if segment.snapshots is not None]
        ),
        "instruction": np.array(segments[0].instruction),
    }
    if all("pick" in part for part in truth):
        boxes = [np.concatenate([part[name] for part in truth]).mean(1) for name in ("pick", "place")]
        columns["target"] = np.concatenate(boxes, axis=1).astype(np.float32)  # [n, 6]
    return columns


def chunks(actions: np.ndarray) -> np.ndarray:
    """Every row's action and the next seven: [n, A] → [n, 8, A].

    After the end the arm rests and the gripper stays.
    """
    rest = np.zeros_like(actions[-1:])
    rest[..., -1] = actions[-1, -1]
    padded = np.concatenate([actions, np.repeat(rest, CHUNK - 1, axis=0)])
    return np.stack([padded[index : index + len(actions)] for index in range(CHUNK)], axis=1)
