"""Open a folder of demonstrations, whatever its format, and say what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from playloop.demos.lerobot.check import check_dataset
from playloop.demos.lerobot.dataset import Demonstrations
from playloop.demos.vpt.dataset import VPTRecordings

NAMED = 3
"""Problems that are named; the rest are counted."""


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


def describe(path: Path) -> list[tuple[str, str]] | None:
    """What `playloop inspect` says: lines of a label and a value; None if the path is no data set.

    Every file is hashed again and compared with what its writer listed, every row and value is looked at, and
    the frames at both ends of every episode are decoded.

    Raises:
        ValueError: something is damaged or contradicts itself; names the first problems.
    """
    if not path.is_dir():
        return None
    if not (path / "meta" / "info.json").exists() and not any(path.glob("*.jsonl")):
        return None
    try:
        dataset = open_demonstrations(path)
    except FileNotFoundError:
        return None
    problems = [] if isinstance(dataset, VPTRecordings) else check_dataset(path)
    if problems:
        more = f" (and {len(problems) - NAMED} more)" if len(problems) > NAMED else ""
        raise ValueError(f"{path}: {'; '.join(problems[:NAMED])}{more}")
    return _lines(dataset)


def _lines(dataset: Demonstrations) -> list[tuple[str, str]]:
    vpt = isinstance(dataset, VPTRecordings)
    kind = "VPT's recordings" if vpt else "LeRobot data set v3.0"
    described = {name: _form(feature) for name, feature in dataset.features.items()}
    lines = [
        ("data set", f"{kind}, identity {dataset.identity}"),
        ("size", f"{len(dataset.episodes)} episodes, {dataset.length} rows, {dataset.fps:g} a second"),
        *(("camera", f"{name} {described[name]}") for name in dataset.cameras),
        *(("column", f"{name} {form}") for name, form in described.items() if name not in dataset.cameras),
        *(("task", f"{number}: {text}") for number, text in sorted(dataset.tasks.items())),
    ]
    if dataset.contract is not None:
        lines.append(("recorded in", f"{dataset.contract.family}: {dataset.contract.action}"))
    read = "every line" if vpt else "every file, row and value, and each episode's first and last frame"
    return [*lines, ("checked", f"{read}: sound")]


def _form(feature: dict) -> str:
    return f"{feature['dtype']} {list(feature['shape'])}"
