"""Data sets whose frames show their own number."""

from __future__ import annotations

import numpy as np

from playloop.demos.lerobot.writer import DatasetWriter
from playloop.demos.video.encoder import encode_video

CAMERAS = ("observation.images.front", "observation.images.wrist")
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [5], "names": list("abcde")},
    "action": {"dtype": "float32", "shape": [7], "names": None},
    "action_chunk": {"dtype": "float32", "shape": [8, 7], "names": None},
    "expert": {"dtype": "int64", "shape": [1], "names": None},
} | {
    name: {"dtype": "video", "shape": [64, 64, 3], "names": ["height", "width", "channels"]}
    for name in CAMERAS
}
LENGTHS = (1, 7, 12, 2, 9)


def number_image(number: int) -> np.ndarray:
    """An image that shows a number in 12 bits as black and white blocks: no codec can blur it."""
    image = np.zeros((64, 64, 3), np.uint8)
    for bit in range(12):
        row, column = divmod(bit, 4)
        image[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 255 * (number >> bit & 1)
    return image


def read_number(image: np.ndarray) -> int:
    scale = len(image) // 4
    centres = image[scale // 2 :: scale, scale // 2 :: scale, 1][:3].reshape(-1) > 127
    return int((centres * 2 ** np.arange(12)).sum())


def episode_columns(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    return {
        "observation.state": rng.normal(size=(rows, 5)).astype(np.float32),
        "action": rng.normal(size=(rows, 7)).astype(np.float32),
        "action_chunk": rng.normal(size=(rows, 8, 7)).astype(np.float32),
        "expert": rng.integers(0, 2, size=(rows, 1)),
    }


def write(root, lengths=LENGTHS, fps=20, **options) -> list[dict[str, np.ndarray]]:
    rng, written, first = np.random.default_rng(0), [], 0
    writer = DatasetWriter(root, fps, FEATURES, "panda", **options)
    for episode, rows in enumerate(lengths):
        parts = {}
        for offset, camera in enumerate(CAMERAS):
            parts[camera] = root.parent / f"{root.name}-{episode}-{offset}.mp4"
            images = np.stack([number_image(first + row + 1000 * offset) for row in range(rows)])
            encode_video(images, parts[camera], fps)
        written.append(episode_columns(rng, rows))
        writer.add_episode(written[-1], parts, f"task {episode % 2}")
        first += rows
    writer.finalize({"seed": 3})
    return written
