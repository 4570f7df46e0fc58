"""The record of a run on disk: one line an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playloop.core.episode import Episode
from playloop.core.ledger import Ledger, config_key, read_config, read_lines
from playloop.core.locks import FolderLock
from playloop.core.results import EpisodeResult
from playloop.envs.checks import plain
from playloop.rollouts.callbacks import Callback

EPISODES = "episodes.jsonl"


class EpisodeStore(Ledger[EpisodeResult], Callback):
    """`episodes.jsonl` and `config.json` in a folder; a repeated command continues a killed one.

    An episode that ended in an error is not done: it runs again when the command is repeated, and the last
    line of an identity counts. `config` is everything that can change a result; arguments and errors are
    those of `Ledger`.
    """

    def __init__(self, folder: Path, config: dict[str, Any], lock: FolderLock | None = None):
        self.folder = Path(folder)
        super().__init__(self.folder / EPISODES, config, EpisodeResult.from_json, lock)
        torn = f"the last line of {EPISODES} was torn by a kill; its episode runs again"
        self.notes = [torn] if self.was_torn else []
        self._results = {result.episode: result for result in self.records}

    def done(self) -> set[Episode]:
        """Identities that need not run again."""
        return {episode for episode, result in self._results.items() if result.error is None}

    def results(self) -> dict[Episode, EpisodeResult]:
        """The last result of every identity."""
        return dict(self._results)

    def append(self, result: EpisodeResult) -> None:
        """Write a line."""
        self.write(result.to_json(), plain)
        self._results[result.episode] = result

    def on_end(self, result: EpisodeResult) -> None:
        self.append(result)


def read_results(folder: Path) -> list[EpisodeResult]:
    """The results in a folder, the last of every identity, in the order of their identities.

    Raises:
        FileNotFoundError: nothing was recorded there.
        ValueError: a line is damaged, or belongs to another configuration than the folder's.
    """
    path = Path(folder) / EPISODES
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a folder that `playloop eval` wrote")
    config = read_config(path.with_name("config.json"))
    lines = read_lines(path, EpisodeResult.from_json, None if config is None else config_key(config))
    results = {result.episode: result for result in lines}
    return [results[episode] for episode in sorted(results)]
