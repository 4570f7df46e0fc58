"""An agent that repeats recorded actions: to check that an episode can be played again, or to watch it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from playloop.agents.base import Plan
from playloop.core.annotations import Count, Name
from playloop.core.checked import checked
from playloop.core.content import content_hash
from playloop.core.contract import Contract
from playloop.core.episode import Episode
from playloop.core.kinds import kind


@kind("replay")
@checked
class ReplayAgentConfig:
    """Settings of `ReplayAgent`.

    Args:
        folder: `<episode's key>.npz` files with an array `actions` float32 [T, A] in each.
        chunk: actions a decision.
        rows: episodes decided for in one call.
    """

    folder: Name
    chunk: Count = 8
    rows: Count = 16

    def make(self) -> ReplayAgent:
        """The agent; files are read when their episode begins."""
        return ReplayAgent(ActionFolder(Path(self.folder)), self.chunk, self.rows)


class ActionFolder(Mapping[str, np.ndarray]):
    """Recorded actions by episode key, read when they are needed."""

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not a folder; give agent.folder=… with <key>.npz files")
        self.folder = folder

    def __getitem__(self, key: str) -> np.ndarray:
        path = self.folder / f"{key}.npz"
        if not path.is_file():
            raise KeyError(key)
        try:
            with np.load(path, allow_pickle=False) as record:
                return record["actions"].astype(np.float32)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} holds no array `actions` of numbers ({error}); record again") from error

    def __iter__(self) -> Any:
        return (path.stem for path in sorted(self.folder.glob("*.npz")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ReplayAgent:
    """Executes the recorded actions of each episode in order.

    Where the record ends before the episode does, its last action is repeated.

    Args:
        actions: episode key → float32 [T, A].
        chunk: actions a decision.
        rows: episodes decided for in one call.
    """

    reads: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, actions: Mapping[str, np.ndarray], chunk: int = 8, rows: int = 16):
        self.actions = actions
        self.chunk = chunk
        self.rows = rows
        self._size: int | None = None

    def prepare(self, contract: Contract) -> None:
        self._size = len(contract.action_names)

    def provenance(self) -> dict[str, Any]:
        """A hash of the recorded actions, of those that lie in a folder."""
        folder = self.actions.folder if isinstance(self.actions, ActionFolder) else None
        return {"actions_sha256": content_hash(sorted(folder.glob("*.npz")))} if folder else {}

    def begin(self, episode: Episode) -> np.ndarray:
        """The carry is what is left of the record.

        Raises:
            ValueError: nothing, or something of another size, was recorded for the episode.
        """
        if episode.key not in self.actions:
            raise ValueError(f"no actions are recorded for {episode.key}; ask for recorded episodes only")
        actions = self.actions[episode.key]
        if actions.ndim != 2 or len(actions) == 0 or self._size not in (None, actions.shape[1]):
            raise ValueError(
                f"{episode.key}: actions {actions.shape} are not [T, {self._size}]; record again"
            )
        return actions

    def act(
        self, carries: list[Any], observations: list[dict[str, Any]], rngs: list[np.random.Generator]
    ) -> tuple[list[Any], list[Plan]]:
        plans = [Plan(actions[: self.chunk]) for actions in carries]
        rest = [actions[self.chunk :] if len(actions) > self.chunk else actions[-1:] for actions in carries]
        return rest, plans
