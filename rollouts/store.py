"""The record of a run on disk: one line an episode, appended when it is finished and never changed."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from playloop.envs.episode import Episode
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.differences import differences
from playloop.rollouts.files import write_json
from playloop.rollouts.record import EpisodeResult


class EpisodeStore(Callback):
    """`episodes.jsonl` and `config.json` in a folder; a repeated command continues a killed one.

    An episode that ended in an error is not done: it runs again when the command is repeated, and the last
    line of an identity counts. A last line that a kill has torn is cut off and its episode runs again.

    Args:
        folder: created if it does not exist.
        config: everything that can change a result, JSON-able; leave out what cannot (workers, videos).

    Raises:
        ValueError: the folder holds episodes of another configuration, or a damaged line.
        BlockingIOError: another process is writing to the folder.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "episodes.jsonl"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self._check(config)
            self.notes = _cut_torn_line(self._file)
            self._results = {result.episode: result for result in read_results(self.folder)}
        except BaseException:
            os.close(self._file)
            raise

    def done(self) -> set[Episode]:
        """Identities that need not run again."""
        return {episode for episode, result in self._results.items() if result.error is None}

    def results(self) -> dict[Episode, EpisodeResult]:
        """The last result of every identity."""
        return dict(self._results)

    def append(self, result: EpisodeResult) -> None:
        """Write one line and wait until it is on the disk."""
        line = json.dumps(result.to_json(), ensure_ascii=False, default=_plain) + "\n"
        data = line.encode()
        if os.write(self._file, data) != len(data):
            raise OSError(f"the disk took only a part of a line of {self.path}; free some space and repeat")
        os.fsync(self._file)
        self._results[result.episode] = result

    def on_end(self, result: EpisodeResult) -> None:
        self.append(result)

    def close(self) -> None:
        """Release the folder."""
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a killed process releases it
        except BlockingIOError:
            raise BlockingIOError(
                f"another run is writing to {self.folder}; wait for it or give another folder with out=…"
            ) from None

    def _check(self, config: dict[str, Any]) -> None:
        """Compare with the configuration that the folder was begun with; write it at the beginning."""
        config = json.loads(json.dumps(config))
        path = self.folder / "config.json"
        if not path.exists():
            write_json(path, config)
            return
        before = json.loads(path.read_text())
        if changed := differences(before, config):
            raise ValueError(
                f"{self.folder} was begun with another configuration ({'; '.join(changed)}); "
                f"give another folder with out=… or delete this one"
            )


def read_results(folder: Path) -> list[EpisodeResult]:
    """The results in a folder, the last of every identity, in the order of their identities.

    Raises:
        FileNotFoundError: nothing was recorded there.
        ValueError: a line is damaged.
    """
    path = Path(folder) / "episodes.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a folder that `playloop eval` wrote")
    results = {}
    *lines, _torn = path.read_text().split("\n")
    for number, line in enumerate(lines, 1):
        try:
            result = EpisodeResult.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number} is damaged ({error}); delete that line and repeat") from error
        results[result.episode] = result
    return [results[episode] for episode in sorted(results)]


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, which environments put into `info`, as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"an episode's info holds {value!r}, which JSON cannot; put numbers, text or lists there")


def _cut_torn_line(file: int) -> list[str]:
    """Cut off what follows the last line end; returns notes on it for the user."""
    size = os.fstat(file).st_size
    content = os.pread(file, size, 0)
    whole = content.rfind(b"\n") + 1
    if whole == size:
        return []
    os.ftruncate(file, whole)
    os.fsync(file)
    return ["the last line of episodes.jsonl was torn by a kill; its episode runs again"]
