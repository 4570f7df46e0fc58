"""Put traces and frames together into a LeRobot data set."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.formats import FORMAT
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.rollouts.recording.plan import RecordingPlan
from playloop.rollouts.recording.trace import CHUNK, trace_path, video_path
from playloop.rollouts.store import read_results

TARGET_NAMES = ["pick_x", "pick_y", "pick_z", "place_x", "place_y", "place_z"]


def assemble(recording: RecordingPlan, episodes: list[Episode]) -> Path:
    """Write the data set and, once it is whole, remove the traces and frames it was made of."""
    contract = recording.env.contract()
    with np.load(trace_path(recording.out, episodes[0]), allow_pickle=False) as trace:
        features, private = features_of(contract), private_of(contract, "target" in trace)
    rate = contract.control_hz / recording.stride
    writer = DatasetWriter(recording.out, rate, features, contract.family, private)
    for episode in episodes:
        columns, task = _columns(recording.out, episode, recording.stride)
        videos = {
            f"observation.images.{camera}": video_path(recording.out, episode, camera)
            for camera in contract.cameras
        }
        writer.add_episode(columns, videos, task)
    writer.finalize(playloop=_provenance(recording, contract, episodes))
    for scratch in ("traces", "frames"):
        shutil.rmtree(recording.out / scratch, ignore_errors=True)
    return recording.out


def features_of(contract: Contract) -> dict[str, dict[str, Any]]:
    """The columns of our data sets that LeRobot sees, in its form."""
    states, actions = list(contract.state_names), list(contract.action_names)
    found: dict[str, dict[str, Any]] = {
        "action": {"dtype": "float32", "shape": [len(actions)], "names": actions},
        "expert": {"dtype": "int64", "shape": [1], "names": None},
    }
    if states:  # a world model has none, and a column of no width cannot be stored
        found["observation.state"] = {"dtype": "float32", "shape": [len(states)], "names": states}
    for camera, (height, width) in contract.cameras.items():
        found[f"observation.images.{camera}"] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
        }
    return found


def private_of(contract: Contract, labelled: bool) -> dict[str, dict[str, Any]]:
    """The columns that only our training reads: what is to come, and with `labelled` what only we know."""
    shape = [CHUNK, len(contract.action_names)]
    found: dict[str, dict[str, Any]] = {
        "action_chunk": {"dtype": "float32", "shape": shape, "names": ["step", "action"]}
    }
    if labelled:
        found["observation.target"] = {"dtype": "float32", "shape": [6], "names": TARGET_NAMES}
    return found


def stored_columns(found: Mapping[str, np.ndarray], stride: int = 1) -> dict[str, np.ndarray]:
    """Columns of an episode (`trace.columns_of`) under the names of a data set's, strided."""
    names = {
        "observation.state": "state",
        "action": "action",
        "action_chunk": "action_chunk",
        "expert": "expert",
        "observation.target": "target",
    }
    columns = {name: found[source][::stride] for name, source in names.items() if source in found}
    if columns["observation.state"].shape[1] == 0:
        del columns["observation.state"]
    return columns


def _columns(folder: Path, episode: Episode, stride: int) -> tuple[dict[str, np.ndarray], str]:
    with np.load(trace_path(folder, episode), allow_pickle=False) as trace:
        return stored_columns(trace, stride), str(trace["instruction"])


def _provenance(recording: RecordingPlan, contract: Contract, episodes: list[Episode]) -> dict[str, Any]:
    results = [r for r in read_results(recording.out) if r.error is None]
    return {
        "format": FORMAT,
        "contract": contract.to_json(),
        "command": recording.command,
        "acts": recording.provenance(),
        "seed": recording.seed,
        "stride": recording.stride,
        "counts": {
            "kept": len(episodes),
            "tried": len(results),
            "failed": sum(not result.success for result in results),
        },
        "episodes": [episode.to_json() for episode in episodes],
    }
