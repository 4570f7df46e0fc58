"""Frames of recordings as MineWorld reads them: decoded, shrunk without smoothing, and kept nowhere.

At the released size an hour of play is 19 GB of pixels but 48 MB of tokens, so only the tokens are stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import numpy as np
import torch

from playloop.core.children import CONTEXT
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.pictures import Pictures
from playloop.tokenizers.vq import resize_linear

PIECE = 64
"""Frames that are decoded together."""

Job = tuple[Pictures, tuple[int, int]]


def resized_pieces(
    dataset: Demonstrations, camera: str, size: tuple[int, int], processes: int
) -> Iterator[np.ndarray]:
    """All frames of a data set in the order of its rows, resized as MineWorld does it; they are kept nowhere.

    Args:
        dataset: whose videos are decoded.
        camera: a video feature.
        size: height and width.
        processes: how many decode at a time.

    Returns:
        uint8 [n, height, width, 3] each, of at most `PIECE` frames.
    """
    jobs = _jobs(dataset, camera, size)
    if processes <= 1:
        yield from map(_read, jobs)
        return
    waiting: deque[Future[np.ndarray]] = deque()
    pool = ProcessPoolExecutor(processes, CONTEXT, torch.set_num_threads, (1,))
    try:
        for job in jobs:
            waiting.append(pool.submit(_read, job))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _jobs(dataset: Demonstrations, camera: str, size: tuple[int, int]) -> Iterator[Job]:
    for episode, record in enumerate(dataset.episodes):
        pictures = dataset.pictures(camera, episode)
        for start in range(0, record["length"], PIECE):
            yield pictures[start : start + PIECE], size


def _read(job: Job) -> np.ndarray:
    pictures, size = job
    return np.stack([resize_linear(image, size) for image in pictures])
