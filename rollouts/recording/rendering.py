"""Draw the images of recorded episodes from their traces, in several processes, resumably."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import closing
from itertools import groupby
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from playloop.core.children import pool_of_children
from playloop.core.episode import Episode
from playloop.demos.video.encoder import encode_video
from playloop.envs.base import PlayEnv
from playloop.rollouts.progress import LiveLine
from playloop.rollouts.recording.trace import trace_path, video_path

GROUP = 5
"""Episodes of one task that a process draws in one go: loading a scene costs several seconds."""


def render_episodes(
    env: Any, episodes: list[Episode], folder: Path, stride: int, workers: int, console: Console
) -> None:
    """Draw every `stride`-th step of the episodes, whose traces lie in `folder`, that lack frames.

    Without workers they are drawn in this process.
    """
    (folder / "frames").mkdir(exist_ok=True)
    cameras = list(env.contract().cameras)
    todo = [e for e in episodes if not all(video_path(folder, e, camera).exists() for camera in cameras)]
    if not todo:
        return
    line = LiveLine("drawing", len(todo), 0, console)
    try:
        if not workers:
            with closing(env.make()) as opened:
                for group in _groups(todo):
                    line.show(line.left, draw(opened, group, folder, stride))
            return
        with pool_of_children(workers, _open, (env,)) as pool:
            jobs = [pool.submit(_render_group, group, folder, stride) for group in _groups(todo)]
            for job in as_completed(jobs):
                line.show(line.left, job.result())
    finally:
        line.stop()


def _groups(episodes: list[Episode]) -> Iterator[list[Episode]]:
    for _, same in groupby(episodes, key=lambda episode: (episode.suite, episode.task)):
        group = list(same)
        yield from (group[start : start + GROUP] for start in range(0, len(group), GROUP))


_env: PlayEnv | None = None  # the simulator of this worker process


def _open(config: Any) -> None:
    global _env
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa's software renderer: one process a core is faster
    _env = config.make()
    Finalize(None, _env.close, exitpriority=10)


def _render_group(episodes: list[Episode], folder: Path, stride: int) -> int:
    assert _env is not None
    return draw(_env, episodes, folder, stride)


def draw(env: PlayEnv, episodes: list[Episode], folder: Path, stride: int) -> int:
    """Write the videos of some episodes; gives how many there are."""
    for episode in episodes:
        with np.load(trace_path(folder, episode), allow_pickle=False) as trace:
            snapshots = trace["snapshots"][::stride]
        env.begin(episode)
        images: dict[str, list[np.ndarray]] = {camera: [] for camera in env.contract.cameras}
        for snapshot in snapshots:
            env.restore(snapshot)
            for camera, image in env.observe()["images"].items():
                images[camera].append(image)
        for camera, frames in images.items():
            encode_video(frames, video_path(folder, episode, camera), env.contract.control_hz / stride)
    return len(episodes)
