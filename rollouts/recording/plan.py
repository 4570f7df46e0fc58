"""What is to be recorded, where, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playloop.core.episode import Episode
from playloop.envs.config import EnvConfig
from playloop.rollouts.recording.trace import trace_path, video_path

ATTEMPTS_PER_EPISODE = 3
"""An agent that succeeds less often than once in so many tries is not worth recording."""


@dataclass
class RecordingPlan:
    """One `playloop record`: what is recorded, where, and how many.

    Args:
        env: settings of the environment.
        agent: who acts.
        wanted: number of a task → successful episodes wanted of it.
        seed: placements follow from it.
        stride: every so many steps become a row of the data set with images; 1 records all of them.
        out: the data set's folder.
        workers: processes.
        step_timeout: seconds without an answer after which an environment counts as dead.
        command: the command line, for the record.
    """

    env: EnvConfig
    agent: Any
    wanted: dict[int, int]
    seed: int
    stride: int
    out: Path
    workers: int
    step_timeout: float
    command: str

    def candidates(self, task: int) -> list[Episode]:
        """Fresh placements of a task that may be tried, in order; more wanted episodes add to the end.

        Stored initial states are the test set: never used.
        """
        numbers = range(self.wanted[task] * ATTEMPTS_PER_EPISODE)
        return [self.env.fresh_episode(task, self.seed * 1_000_000 + number) for number in numbers]

    def provenance(self) -> dict[str, Any]:
        """What acts, by the agent's own account: a checkpoint with its hash, for instance."""
        return self.agent.provenance() if hasattr(self.agent, "provenance") else {}

    def is_kept(self, episode: Episode) -> bool:
        """Whether what a success left is still there."""
        paths = [trace_path(self.out, episode)]
        contract = self.env.contract()
        if not contract.restorable:
            paths += [video_path(self.out, episode, camera) for camera in contract.cameras]
        return all(path.exists() for path in paths)
