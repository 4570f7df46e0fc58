"""An agent that repeats recorded actions: to check that an episode can be played again, or to watch it."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from playloop.agents.base import Plan, RowAgent
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
        return ReplayAgent(self)


class ReplayAgent(RowAgent):
    """Executes the recorded actions of each episode in order.

    Where the record ends before the episode does, its last action is repeated.

    Raises:
        FileNotFoundError: there is no such folder.
    """

    def __init__(self, config: ReplayAgentConfig):
        self.folder, self.chunk, self.rows = Path(config.folder), config.chunk, config.rows
        self.name = f"replay {self.folder.name}"
        if not self.folder.is_dir():
            fix = "give agent.folder=… with <key>.npz files"
            raise FileNotFoundError(f"{self.folder} is not a folder; {fix}")
        self._size: int | None = None

    def prepare(self, contract: Contract) -> None:
        self._size = len(contract.action_names)

    def provenance(self) -> dict[str, Any]:
        """A hash of the recorded actions."""
        return {"actions_sha256": content_hash(sorted(self.folder.glob("*.npz")))}

    def begin(self, episode: Episode) -> np.ndarray:
        """The carry is what is left of the record.

        Raises:
            ValueError: nothing, or something of another size, was recorded for the episode.
        """
        path = self.folder / f"{episode.key}.npz"
        if not path.is_file():
            raise ValueError(f"no actions are recorded for {episode.key}; ask for recorded episodes only")
        try:
            with np.load(path, allow_pickle=False) as record:
                actions = record["actions"].astype(np.float32)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} holds no array `actions` of numbers ({error}); record again") from error
        if actions.ndim != 2 or len(actions) == 0 or self._size not in (None, actions.shape[1]):
            raise ValueError(
                f"{episode.key}: actions {actions.shape} are not [T, {self._size}]; record again"
            )
        return actions

    def decide(
        self, carry: np.ndarray, observation: dict[str, Any], rng: np.random.Generator
    ) -> tuple[np.ndarray, Plan]:
        rest = carry[self.chunk :] if len(carry) > self.chunk else carry[-1:]
        return rest, Plan(carry[: self.chunk])
