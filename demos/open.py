"""Open a folder of demonstrations, whatever its format."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.vpt.dataset import VPTRecordings


def open_demonstrations(path: str | Path, on_corrupt: Literal["refuse", "skip"] = "refuse") -> Demonstrations:
    """A LeRobot data set v3.0, or a folder of VPT's contractor recordings.

    Raises:
        FileNotFoundError: the folder is neither; says what it is.
        CorruptFile: a file is damaged and `on_corrupt` is "refuse".
    """
    path = Path(path)
    if any(video.with_suffix(".jsonl").exists() for video in path.glob("[!.]*.mp4")):
        return VPTRecordings(path, on_corrupt)
    return Demonstrations(path, on_corrupt)
