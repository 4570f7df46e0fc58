"""All frames of one camera, decoded once, small, and then read at the speed of memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from playloop.core.images import resize
from playloop.demos.arrays import in_processes, made_once, open_filled
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.pictures import Pictures
from playloop.demos.vpt.dataset import VPTRecordings


class FrameCache:
    """A memory-mapped array uint8 [N, h, w, 3] of a camera's images; made when it is missing.

    Args:
        dataset: whose rows are the rows of the array.
        camera: a video feature, for example "observation.images.agentview".
        size: height and width; a whole fraction of the video's. VPT's recordings take any, see `resize`.
        processes: how many decode at a time when the cache has to be made.
        folder: where the cache lies; `<root>/cache` if not given.

    Raises:
        KeyError: the data set has no such camera.
        OSError: there is no room for the cache, or its folder cannot be written.
        ValueError: the size does not fit, or the file is damaged.
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

        def fill(target: Path) -> None:
            starts = enumerate(dataset.starts[:-1].tolist())
            jobs = [(dataset.pictures(camera, episode), target, start, size) for episode, start in starts]
            in_processes(_decode_episode, jobs, processes)

        self.array = made_once(self.path, (dataset.length, *size, 3), np.uint8, fill)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: np.ndarray | slice | int) -> np.ndarray:
        """A copy of the images of one row or several."""
        return np.array(self.array[index])


def _decode_episode(job: tuple[Pictures, Path, int, tuple[int, int]]) -> None:
    pictures, target, start, size = job
    array = open_filled(target)
    for row, image in enumerate(pictures):
        array[start + row] = resize(image, size)


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
