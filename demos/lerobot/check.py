"""Check a data set from end to end: files, counts, statistics, frames at all boundaries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np

from playloop.demos.corrupt import CorruptFile
from playloop.demos.lerobot.columns import is_video
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.lerobot.integrity import damaged_files
from playloop.demos.lerobot.values import is_numeric
from playloop.demos.video.decoder import VideoDecoder


def check_dataset(root: str | Path) -> list[str]:
    """Sentences, one for each thing that is wrong; empty for a sound data set."""
    try:
        rotten = damaged_files(Path(root), again=True)  # before opening, which then knows
        dataset = Demonstrations(root, on_corrupt="skip")
    except (ValueError, FileNotFoundError) as error:
        return [str(error)]
    used = " ".join(dataset.skipped.values())
    problems = [f"{name}: {reason}" for name, reason in rotten.items() if name not in used]
    problems += [f"episode {number}: {reason}" for number, reason in dataset.skipped.items()]
    problems += [*_check_counts(dataset), *_check_columns(dataset), *_check_statistics(dataset)]
    for camera in dataset.cameras:
        if is_video(dataset.features[camera]):
            problems += _check_tiling(dataset, camera)
        problems += _check_boundaries(dataset, camera)
    dataset.close()
    return list(dict.fromkeys(problems))  # what spoils a file spoils all of its episodes


def _check_counts(dataset: Demonstrations) -> Iterator[str]:
    episodes = len(dataset.episodes) + len(dataset.skipped)
    found = {"total_episodes": episodes, "total_tasks": len(dataset.tasks)}
    if not dataset.skipped:
        found["total_frames"] = dataset.length
    for key, count in found.items():
        if (said := dataset.info.get(key)) != count:
            yield f"info.json: {key} is {said}, found {count}"


def _check_columns(dataset: Demonstrations) -> Iterator[str]:
    # frame_index and episode_index are right: rows are found by them.
    if "timestamp" in dataset.features:
        expected = dataset.column("frame_index") / dataset.fps
        if not np.allclose(dataset.column("timestamp"), expected, atol=1e-4):
            yield "data: timestamp differs from frame_index / fps"


def _check_statistics(dataset: Demonstrations) -> Iterator[str]:
    try:
        statistics = dataset.statistics
    except FileNotFoundError:
        yield "meta/stats.json is missing; LeRobot's trainers need it"
        return
    except ValueError as error:
        yield str(error)
        return
    for name in dataset.features.keys() - dataset.private.keys():
        stored = statistics.get(name)
        if not is_numeric(dataset.features[name]) and name not in dataset.cameras:
            continue  # LeRobot writes none of text
        if stored is None:
            yield f"stats.json: {name} is missing"
        elif is_numeric(dataset.features[name]) and not dataset.skipped:
            values = dataset.column(name).astype(np.float64)
            for key, actual in (("min", values.min(0)), ("max", values.max(0)), ("mean", values.mean(0))):
                if not _fits(stored.get(key), actual):
                    yield f"stats.json: {key} of {name} does not fit the data"


def _fits(stored: np.ndarray | None, actual: np.ndarray) -> bool:
    """Whether a figure of a column is what was stored; None: nothing was."""
    if stored is None:
        return False
    found, wanted = np.squeeze(stored), np.squeeze(actual)
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-4, atol=1e-4)


def _check_tiling(dataset: Demonstrations, camera: str) -> Iterator[str]:
    """Episodes tile their video: each begins where the one before it ends, the last ends the file."""
    ends: dict[str, int] = {}
    spans = []
    for number, episode in enumerate(dataset.episodes):
        pictures = dataset.pictures(camera, number)
        spans.append((pictures.path, int(pictures.indices[0]), episode))
    for path, first, episode in sorted(spans, key=lambda span: span[:2]):
        if first != ends.get(path, 0) and not dataset.skipped:
            yield f"{path}: episode {episode['episode_index']} begins at {first}, not {ends.get(path, 0)}"
        ends[path] = first + episode["length"]
    for path, end in ends.items():
        with closing(VideoDecoder(dataset.root / path, dataset.fps)) as decoder:
            if decoder.length != end:
                yield f"{path}: {decoder.length} frames, its episodes end at {end}"


def _check_boundaries(dataset: Demonstrations, camera: str) -> Iterator[str]:
    for start, end in pairwise(dataset.starts.tolist()):
        for row in (start, end - 1):
            try:
                dataset.frame(camera, row)
            except CorruptFile as error:
                yield str(error)
