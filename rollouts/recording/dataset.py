"""The data sets that are recorded here: their columns, and how episodes are written to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.formats import FORMAT
from playloop.demos.lerobot.writer import DatasetWriter
from playloop.rollouts.recording.trace import CHUNK

TARGET_NAMES = ["pick_x", "pick_y", "pick_z", "place_x", "place_y", "place_z"]


@dataclass(frozen=True)
class RecordedEpisode:
    """An episode as it enters a data set."""

    episode: Episode
    instruction: str
    columns: dict[str, np.ndarray]  # see `stored_columns`
    videos: dict[str, Path]  # camera → file


def write_dataset(
    folder: Path,
    contract: Contract,
    rate: float,
    episodes: Iterable[RecordedEpisode],
    facts: dict[str, Any],
    labelled: bool = False,
) -> None:
    """Write a data set of ours, of `rate` rows a second.

    `facts` tell how it was made ("command", "seed", "stride", "counts"); for `labelled` see `private_of`.
    """
    features, private, identities = features_of(contract), private_of(contract, labelled), []
    with DatasetWriter(folder, rate, features, contract.family, private) as writer:
        for one in episodes:
            videos = {f"observation.images.{camera}": path for camera, path in one.videos.items()}
            writer.add_episode(one.columns, videos, one.instruction)
            identities.append(one.episode.to_json())
        made = {"format": FORMAT, "contract": contract.to_json(), **facts, "episodes": identities}
        writer.finalize(playloop=made)


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
