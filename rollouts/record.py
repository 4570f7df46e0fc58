"""What is kept of a finished episode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playloop.envs.episode import Episode


@dataclass
class EpisodeResult:
    """The outcome of one episode; a line of `episodes.jsonl`.

    Args:
        episode: its identity.
        success: the suite's success rule held; never true when `error` is set.
        steps: actions executed.
        return_: sum of rewards.
        error: why the episode could not be judged (a crash, an exception), else None; never a failure.
        seconds: where the time went: "begin", "physics", "observe", "agent", "wall".
        decisions: how often the agent was asked.
        attempts: 1, or 2 if the episode was repeated after a crash.
        info: small JSON-able facts of the last step.
    """

    episode: Episode
    success: bool
    steps: int
    return_: float
    error: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    decisions: int = 0
    attempts: int = 1
    info: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object; identity first, so that a line can be read by eye."""
        return {
            **self.episode.to_json(),
            "success": self.success,
            "steps": self.steps,
            "return": self.return_,
            "error": self.error,
            "decisions": self.decisions,
            "attempts": self.attempts,
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "info": self.info,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> EpisodeResult:
        """The inverse of `to_json`."""
        names = ("success", "steps", "error", "seconds", "decisions", "attempts", "info")
        values = {name: record[name] for name in names}
        return cls(episode=Episode.from_json(record), return_=record["return"], **values)
