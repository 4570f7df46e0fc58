"""The record of a run on disk: one line an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playloop.core.episode import Episode
from playloop.core.ledger import Ledger, check_bound, read_config, read_lines
from playloop.core.locks import FolderLock
from playloop.core.results import EpisodeResult
from playloop.envs.checks import plain
from playloop.rollouts.callbacks import Callback

EPISODES = "episodes.jsonl"


class EpisodeStore(Callback):
    """`episodes.jsonl` and `config.json` in a folder; a repeated command continues a killed one.

    An episode that ended in an error is not done: it runs again when the command is repeated, and the last
    line of an identity counts.

    Args:
        folder: created if it does not exist.
        config: everything that can change a result, JSON-able; leave out what cannot (workers, videos).
        lock: on the folder, where the caller holds it: to write to the folder after `close` too.

    Raises:
        ValueError: the folder holds episodes of another configuration, or a damaged line.
        BlockingIOError: another process is writing to the folder.
    """

    def __init__(self, folder: Path, config: dict[str, Any], lock: FolderLock | None = None):
        self.folder = Path(folder)
        self._ledger = Ledger(self.folder / EPISODES, config, EpisodeResult.from_json, lock)
        torn = f"the last line of {EPISODES} was torn by a kill; its episode runs again"
        self.notes = [torn] if self._ledger.was_torn else []
        self._results = {result.episode: result for result in self._ledger.records}

    def done(self) -> set[Episode]:
        """Identities that need not run again."""
        return {episode for episode, result in self._results.items() if result.error is None}

    def results(self) -> dict[Episode, EpisodeResult]:
        """The last result of every identity."""
        return dict(self._results)

    def append(self, result: EpisodeResult) -> None:
        """Write one line and wait until it is on the disk."""
        self._ledger.append(result.to_json(), plain)
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
        ValueError: a line is damaged, or belongs to another configuration than the folder's.
    """
    path = Path(folder) / EPISODES
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a folder that `playloop eval` wrote")
    if (config := read_config(path.with_name("config.json"))) is not None:
        check_bound(path, config)
    results = {result.episode: result for result in read_lines(path, EpisodeResult.from_json)}
    return [results[episode] for episode in sorted(results)]
