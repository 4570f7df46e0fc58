"""The record of a run on disk: one line an episode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from playloop.envs.episode import Episode
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.ledger import Ledger, read_lines
from playloop.rollouts.record import EpisodeResult

EPISODES = "episodes.jsonl"


class EpisodeStore(Callback):
    """`episodes.jsonl` and `config.json` in a folder; a repeated command continues a killed one.

    An episode that ended in an error is not done: it runs again when the command is repeated, and the last
    line of an identity counts.

    Args:
        folder: created if it does not exist.
        config: everything that can change a result, JSON-able; leave out what cannot (workers, videos).

    Raises:
        ValueError: the folder holds episodes of another configuration, or a damaged line.
        BlockingIOError: another process is writing to the folder.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        self.folder = Path(folder)
        self._ledger = Ledger(self.folder / EPISODES, config)
        torn = f"the last line of {EPISODES} was torn by a kill; its episode runs again"
        self.notes = [torn] if self._ledger.was_torn else []
        try:
            self._results = {result.episode: result for result in read_results(self.folder)}
        except BaseException:
            self.close()
            raise

    def done(self) -> set[Episode]:
        """Identities that need not run again."""
        return {episode for episode, result in self._results.items() if result.error is None}

    def results(self) -> dict[Episode, EpisodeResult]:
        """The last result of every identity."""
        return dict(self._results)

    def append(self, result: EpisodeResult) -> None:
        """Write one line and wait until it is on the disk."""
        self._ledger.append(json.dumps(result.to_json(), ensure_ascii=False, default=_plain))
        self._results[result.episode] = result

    def on_end(self, result: EpisodeResult) -> None:
        self.append(result)

    def close(self) -> None:
        """Release the folder."""
        self._ledger.close()


def read_results(folder: Path) -> list[EpisodeResult]:
    """The results in a folder, the last of every identity, in the order of their identities.

    Raises:
        FileNotFoundError: nothing was recorded there.
        ValueError: a line is damaged.
    """
    path = Path(folder) / EPISODES
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a folder that `playloop eval` wrote")
    results = {result.episode: result for result in read_lines(path, EpisodeResult.from_json)}
    return [results[episode] for episode in sorted(results)]


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, which environments put into `info`, as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"an episode's info holds {value!r}, which JSON cannot; put numbers, text or lists there")
