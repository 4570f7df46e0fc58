"""All frames of one camera, decoded once, small, and then read at the speed of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from playloop.demos.dataset import Demonstrations
from playloop.demos.decoder import VideoDecoder
from playloop.demos.resize import resize
from playloop.demos.vpt import VPTRecordings
from playloop.demos.vpt_cursor import draw_cursor


class FrameCache:
    """A memory-mapped array uint8 [N, h, w, 3] of a camera's images; made when it is missing.

    Args:
        dataset: whose rows are the rows of the array.
        camera: a video feature, for example "observation.images.agentview".
        size: height and width; a whole fraction of the video's. VPT's recordings take any, see `resize`.
        processes: how many decode at a time when the cache has to be made.
        folder: where the cache lies; `<root>/cache` if not given.
    """

    def __init__(
        self,
        dataset: Demonstrations,
        camera: str,
        size: tuple[int, int] = (128, 128),
        processes: int = 1,
        folder: str | Path | None = None,
    ):
        _check_size(dataset, camera, size)
        folder = Path(folder) if folder else dataset.root / "cache"
        self.path = folder / f"{camera}-{size[0]}x{size[1]}-{dataset.identity}.npy"
        if not self.path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._build(dataset, camera, size, processes)
        self.array = np.load(self.path, mmap_mode="r", allow_pickle=False)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: np.ndarray | slice | int) -> np.ndarray:
        """A copy of the images of one row or several."""
        return np.array(self.array[index])

    def _build(self, dataset: Demonstrations, camera: str, size: tuple[int, int], processes: int) -> None:
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        shape = (dataset.length, *size, 3)
        try:
            np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
            jobs: list[Job] = []
            for episode, start in enumerate(dataset.starts[:-1]):
                path, first = dataset.video(camera, episode)
                rows = dataset.episodes[episode]["length"]
                cursors = dataset.cursors(episode) if isinstance(dataset, VPTRecordings) else None
                place = (dataset.root / path, dataset.fps, first, rows)
                jobs.append((*place, partial, int(start), size, cursors))
            _run(jobs, processes)
            os.replace(partial, self.path)
        finally:
            partial.unlink(missing_ok=True)


Job = tuple[Path, float, int, int, Path, int, tuple[int, int], np.ndarray | None]


def _run(jobs: list[Job], processes: int) -> None:
    if processes <= 1:
        for job in jobs:
            _decode_episode(job)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_decode_episode, jobs, chunksize=max(1, len(jobs) // (4 * processes))))


def _decode_episode(job: Job) -> None:
    path, fps, first, rows, target, start, size, cursors = job
    array = np.lib.format.open_memmap(target, mode="r+")
    for row, image in enumerate(read_images(path, fps, range(first, first + rows), cursors)):
        array[start + row] = resize(image, size)


def read_images(
    path: Path, fps: float, numbers: range, cursors: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Frames of a video, uint8 [H, W, 3] each.

    Args:
        path: the mp4.
        fps: its frame rate.
        numbers: of the frames, from the file's start.
        cursors: where `draw_cursor` draws on each of them, float32 [n, 2]; None for nowhere.
    """
    decoder = VideoDecoder(path, fps)
    try:
        for row, number in enumerate(numbers):
            image = decoder.frame(number)
            yield image if cursors is None else draw_cursor(image, cursors[row])
    finally:
        decoder.close()


def _check_size(dataset: Demonstrations, camera: str, size: tuple[int, int]) -> None:
    if camera not in dataset.cameras:
        raise KeyError(f"{dataset.root} has no camera {camera!r}; it has {dataset.cameras}.")
    if isinstance(dataset, VPTRecordings):
        return
    height, width, _ = dataset.features[camera]["shape"]
    factor = height // size[0]
    if factor < 1 or (size[0] * factor, size[1] * factor) != (height, width):
        raise ValueError(
            f"{camera} is {height}×{width}; a cache of {size[0]}×{size[1]} is no whole fraction of it."
        )
