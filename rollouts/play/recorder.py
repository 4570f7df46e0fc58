"""Record play as LeRobot data sets: everything goes to disk as it comes, so that no kill loses it.

While a recording runs, its folder holds `.parts/`: `recording.json` (conventions, command), `rows.jsonl` (a
line an episode, then a line a step), a video an episode and camera, and one of the page. Every line and
every frame is on disk as soon as it is recorded; what is cut off is read up to its last whole step.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import av
import numpy as np

from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.files import read_json, write_json
from playloop.core.locks import FolderLock
from playloop.core.segment import Segment
from playloop.demos.video.encoder import PartWriter
from playloop.rollouts.recording.dataset import RecordedEpisode, stored_columns, write_dataset
from playloop.rollouts.recording.trace import columns_of
from playloop.rollouts.video import side_by_side

PARTS, HEAD, ROWS, FILM = ".parts", "recording.json", "rows.jsonl", "film.mp4"


@dataclass(frozen=True)
class FinishedRecording:
    """A finished data set: its folder, its size, and a video to watch."""

    folder: Path
    episodes: int
    steps: int
    video: Path


class RecordingStopped(Exception):
    """A recording cannot go on; says why, and where what there is of it lies."""


class PlayRecorder:
    """Writes every episode, or what is played of it, to one data set; `finish` makes it whole.

    Until then the parts lie in its folder, whose lock is held.

    Args:
        folder: the data set's; must not hold another. `play.mp4` in it is a video to watch: everything that
            was on the page, enlarged.
        contract: the environment's conventions.
        command: the command line, for the record.
        agent: what to call who acts, likewise.

    Raises:
        RecordingStopped: the folder cannot be written; so do the methods.
    """

    def __init__(self, folder: Path, contract: Contract, command: str = "", agent: str = "person"):
        self.folder, self.contract = Path(folder), contract
        self.steps = self._episodes = 0
        self._parts: dict[str, PartWriter] = {}
        self._rows: IO[str] | None = None
        self._lock = FolderLock(self.folder, "a recording of playloop play")
        parts = self.folder / PARTS
        self._film = PartWriter(parts / FILM, contract.control_hz, crf=20, gop=20, growing=True)
        with self._or_stop():
            self._lock.acquire()
            parts.mkdir()
            write_json(parts / HEAD, {"contract": contract.to_json(), "command": command, "agent": agent})
            self._rows = (parts / ROWS).open("a", encoding="utf-8")

    def add(self, episode: Episode, segment: Segment, images: Sequence[np.ndarray]) -> None:
        """Write a segment with frames, and what is on the page, each uint8 [H, W, 3]."""
        assert segment.frames is not None
        with self._or_stop():
            if not self._parts:
                parts, rate = self.folder / PARTS, self.contract.control_hz
                for name in segment.frames:
                    path = parts / _part_name(self._episodes, name)
                    self._parts[name] = PartWriter(path, rate, growing=True)
                self._episodes += 1
                self._note(episode=episode.to_json(), instruction=segment.instruction)
            for camera, frames in segment.frames.items():
                for frame in frames:
                    self._parts[camera].add(frame)
            expert = (segment.plan_info or {}).get("expert", 1)
            own = np.broadcast_to(np.asarray(expert, int), len(segment))
            for action, state, mine in zip(segment.actions, segment.states, own, strict=True):
                self._note(action=action.tolist(), state=state.tolist(), expert=int(mine))
            self.steps += len(segment)
            self._film.add(side_by_side(images))

    def end_episode(self) -> None:
        """What is added from now on belongs to another episode."""
        with self._or_stop():
            self._end()

    def finish(self) -> FinishedRecording | None:
        """Make the data set whole; None, and nothing is left, if it holds no step."""
        with self._or_stop():
            self._close()
            done = complete(self.folder)
        self._lock.release()
        return done

    def _note(self, **facts: object) -> None:
        """A line on disk: it outlives this process from now on."""
        assert self._rows is not None
        self._rows.write(json.dumps(facts, ensure_ascii=False) + "\n")
        self._rows.flush()

    def _end(self) -> None:
        parts, self._parts = self._parts, {}
        for part in parts.values():
            if part.frames:
                part.close()

    def _close(self) -> None:
        self._end()
        if self._film.frames:
            self._film.close()
        if self._rows is not None:
            self._rows.close()

    @contextlib.contextmanager
    def _or_stop(self) -> Iterator[None]:
        """An error, a full disk for instance, ends the recording and leaves its parts as they are."""
        try:
            yield
        except (OSError, ValueError) as error:  # FFmpeg's errors are both
            with contextlib.suppress(OSError, ValueError):
                self._close()
            self._lock.release()
            why = getattr(error, "strerror", None) or str(error)
            if not (self.folder / PARTS / ROWS).exists() or not self.steps:
                shutil.rmtree(self.folder / PARTS, ignore_errors=True)
                with contextlib.suppress(OSError):
                    self.folder.rmdir()
                raise RecordingStopped(f"{self.folder} cannot be recorded to: {why}") from error
            raise RecordingStopped(
                f"the recording in {self.folder} stopped after {self.steps} steps: {why}; once that is "
                "mended, the next playloop play makes a data set of them"
            ) from error


# -- data sets of parts, also of those that a kill has cut off --------------------------------------------


def complete_all(outs: Iterable[Path]) -> list[tuple[str, FinishedRecording | None]]:
    """Complete what killed sessions have left below these folders; recordings that still run are passed over.

    Returns:
        For each recording what became of it in words, and the data set, where there is one now.
    """
    found: list[tuple[str, FinishedRecording | None]] = []
    heads = [path for out in outs for path in sorted(out.absolute().glob(f"*/{PARTS}/{HEAD}"))]
    for folder in dict.fromkeys(path.parent.parent for path in heads):
        done = None
        try:
            with FolderLock(folder, "what completes a recording of playloop play"):
                done = complete(folder)
        except BlockingIOError:
            continue
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            text = f"A recording that was cut off lies in {folder} and cannot be completed yet: {why}"
        else:
            text = f"Removed a recording that was cut off before its first step: {folder}"
            if done is not None:
                text = f"Completed a recording that was cut off: {done.steps} steps in {folder}"
        found.append((text, done))
    return found


def complete(folder: Path) -> FinishedRecording | None:
    """Turn the parts of a recording into its data set; None, and the folder is gone, if they hold no step.

    The lock is the caller's. Killed in between, it can be called again.

    Raises:
        OSError: the disk is full, for instance; nothing is lost.
        ValueError: a part is damaged; says which.
    """
    parts, film = folder / PARTS, folder / "play.mp4"
    head = read_json(parts / HEAD, fix="the recording cannot be completed without it")
    contract = Contract.from_json(head["contract"])
    played = _whole_episodes(parts, contract)
    if not played:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    steps = sum(len(one.columns["action"]) for one in played)
    if not (folder / "meta" / "info.json").exists():
        if (parts / FILM).exists():
            _copy(parts / FILM, film)
        counts = {"kept": len(played), "tried": len(played), "failed": 0}
        made = {"command": head["command"], "agent": head.get("agent", "person")}
        facts = made | {"seed": played[0].episode.seed, "stride": 1, "counts": counts}
        write_dataset(folder, contract, contract.control_hz, played, facts)
    shutil.rmtree(parts)
    return FinishedRecording(folder, len(played), steps, film)


def _whole_episodes(parts: Path, contract: Contract) -> list[RecordedEpisode]:
    """The episodes that hold a step, each as long as the shortest of its rows and videos."""
    (parts / "whole").mkdir(exist_ok=True)
    found = []
    for number, (episode, instruction, rows) in enumerate(_read_rows(parts / ROWS)):
        sources = {camera: parts / _part_name(number, camera) for camera in contract.cameras}
        steps = min(len(rows), *(_count(path) for path in sources.values()))
        if steps:
            videos = {camera: parts / "whole" / path.name for camera, path in sources.items()}
            for camera, path in sources.items():
                _copy(path, videos[camera], steps)
            columns = stored_columns(columns_of(rows[:steps], contract))
            found.append(RecordedEpisode(episode, instruction, columns, videos))
    return found


def _read_rows(path: Path) -> list[tuple[Episode, str, list[Segment]]]:
    """The episodes of a recording, up to the line that a kill has torn."""
    played: list[tuple[Episode, str, list[Segment]]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            if "episode" in record:
                played.append((Episode.from_json(record["episode"]), record["instruction"], []))
            else:
                _, instruction, rows = played[-1]
                rows.append(_row(record, instruction))
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


def _part_name(episode: int, camera: str) -> str:
    """File of one camera's frames in the recording's so-many-th episode."""
    return f"{episode:04}.{camera}.mp4"


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
