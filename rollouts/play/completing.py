"""Make data sets of recordings from the page: of those that end, and of those that a kill has cut off.

While a recording runs, its folder holds `.parts/`: `recording.json` (conventions, command), `rows.jsonl` (a
line an episode, then a line a step), a video an episode and camera, and one of the page. Every line and
every frame is on disk as soon as it is recorded; what is cut off is read up to its last whole step.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import read_json
from playloop.core.locks import FolderLock
from playloop.core.segment import Segment
from playloop.rollouts.recording.dataset import RecordedEpisode, stored_columns, write_dataset
from playloop.rollouts.recording.trace import columns_of

PARTS, HEAD, ROWS, FILM = ".parts", "recording.json", "rows.jsonl", "film.mp4"


@dataclass(frozen=True)
class FinishedRecording:
    """A finished data set: its folder, its size, and a video to watch."""

    folder: Path
    episodes: int
    steps: int
    video: Path


@dataclass
class _Played:
    """An episode, or what was played of it, as its lines tell it."""

    episode: Episode
    instruction: str
    rows: list[Segment] = field(default_factory=list)
    videos: dict[str, Path] = field(default_factory=dict)


def part_name(episode: int, camera: str) -> str:
    """File of one camera's frames in the recording's so-many-th episode."""
    return f"{episode:04}.{camera}.mp4"


def unfinished(out: Path) -> list[Path]:
    """Folders below `out` whose recordings are not whole, those under way included."""
    return sorted(path.parent.parent for path in Path(out).glob(f"*/{PARTS}/{HEAD}"))


def complete_all(outs: Iterable[Path]) -> list[tuple[Path, FinishedRecording | str | None]]:
    """Complete what killed sessions have left below these folders.

    Returns:
        Each such recording: what became of it, None if it held no step and is gone, or why it cannot be made
        whole. Recordings that still run are passed over.
    """
    found: list[tuple[Path, FinishedRecording | str | None]] = []
    for folder in dict.fromkeys(folder.absolute() for out in outs for folder in unfinished(out)):
        try:
            with FolderLock(folder, "what completes a recording of playloop play"):
                done = complete(folder)
        except BlockingIOError:
            continue
        except (OSError, ValueError) as error:
            found.append((folder, getattr(error, "strerror", None) or str(error)))
            continue
        if done is None:
            shutil.rmtree(folder, ignore_errors=True)
        found.append((folder, done))
    return found


def in_words(folder: Path, done: FinishedRecording | str | None) -> str:
    """What became of a recording that `complete_all` found, for the terminal."""
    if isinstance(done, FinishedRecording):
        return f"Completed a recording that was cut off: {done.steps} steps in {folder}"
    if done is None:
        return f"Removed a recording that was cut off before its first step: {folder}"
    return f"A recording that was cut off lies in {folder} and cannot be completed yet: {done}"


def complete(folder: Path) -> FinishedRecording | None:
    """Turn the parts of a recording into its data set; None if they hold no step. The lock is the caller's.

    Killed in between, it can be called again.

    Raises:
        OSError: the disk is full, for instance; nothing is lost.
        ValueError: a part is damaged; says which.
    """
    parts, film = folder / PARTS, folder / "play.mp4"
    head = read_json(parts / HEAD, fix="the recording cannot be completed without it")
    contract = Contract.from_json(head["contract"])
    played = [run for run in _with_frames(parts, _read_rows(parts / ROWS), contract) if run.rows]
    if not played:
        return None
    steps = sum(len(run.rows) for run in played)
    if not (folder / "meta" / "info.json").exists():
        if (parts / FILM).exists():
            _copy(parts / FILM, film)
        _write(folder, contract, played, head["command"])
    shutil.rmtree(parts)
    return FinishedRecording(folder, len(played), steps, film)


def _write(folder: Path, contract: Contract, played: list[_Played], command: str) -> None:
    counts = {"kept": len(played), "tried": len(played), "failed": 0}
    facts = {"command": command, "seed": played[0].episode.seed, "stride": 1, "counts": counts}
    episodes = (
        RecordedEpisode(
            run.episode, run.instruction, stored_columns(columns_of(run.rows, contract)), run.videos
        )
        for run in played
    )
    write_dataset(folder, contract, contract.control_hz, episodes, facts)


def _read_rows(path: Path) -> list[_Played]:
    """The episodes of a recording, up to the line that a kill has torn."""
    played: list[_Played] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            if "episode" in record:
                played.append(_Played(Episode.from_json(record["episode"]), record["instruction"]))
            else:
                played[-1].rows.append(_row(record, played[-1].instruction))
        except (ValueError, KeyError, TypeError, IndexError):
            break
    return played


def _row(record: dict[str, Any], instruction: str) -> Segment:
    return Segment(
        actions=np.array([record["action"]], np.float32),
        states=np.array([record["state"]], np.float32),
        rewards=np.zeros(1),
        success=np.zeros(1, bool),
        instruction=instruction,
        last=False,
        plan_info={"expert": int(record["expert"])},
    )


def _with_frames(parts: Path, played: list[_Played], contract: Contract) -> list[_Played]:
    """The episodes with their videos, each as long as the shortest of its rows and videos."""
    whole = parts / "whole"
    whole.mkdir(exist_ok=True)
    for number, run in enumerate(played):
        sources = {camera: parts / part_name(number, camera) for camera in contract.cameras}
        steps = min(len(run.rows), *(_count(path) for path in sources.values()))
        run.rows = run.rows[:steps]
        if steps:
            run.videos = {camera: whole / path.name for camera, path in sources.items()}
            for camera, path in sources.items():
                _copy(path, run.videos[camera], steps)
    return played


def _count(path: Path) -> int:
    """Whole frames of a video that may end anywhere."""
    with contextlib.suppress(av.FFmpegError), av.open(str(path)) as container:
        return sum(1 for _ in _packets(container))
    return 0


def _copy(source: Path, target: Path, frames: int | None = None) -> None:
    """Copy a video that may end anywhere, or its first frames, without encoding it again."""
    with av.open(str(source)) as old, av.open(str(target), "w", format="mp4") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(_packets(old)):
            if number == frames:
                break
            packet.stream = stream
            new.mux(packet)


def _packets(container: Any) -> Iterator[Any]:
    with contextlib.suppress(av.error.InvalidDataError, av.error.EOFError):  # torn in the middle of one
        yield from (packet for packet in container.demux(container.streams.video[0]) if packet.size)
