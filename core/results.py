"""What is kept of a finished episode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from playloop.core.checked import read_typed
from playloop.core.episode import Episode

Fault = Literal["agent", "environment", "server"]
"""Whose error it is that an episode could not be judged."""
BLAMED = {
    "agent": "the agent failed: ",
    "environment": "the environment failed: ",
    "server": "the agent's server failed: ",
    None: "",
}
"""How to begin to tell of it."""

# by call, because "return" is no name in Python
_Line = TypedDict(
    "_Line",
    {
        "suite": str,
        "task": int,
        "init": int,
        "seed": int,
        "agent": NotRequired[str | None],
        "success": bool,
        "steps": int,
        "return": float,
        "error": str | None,
        "fault": NotRequired[Fault | None],
        "decisions": int,
        "attempts": int,
        "seconds": dict[str, float],
        "info": dict[str, Any],
    },
)
"""A line of `episodes.jsonl`; "agent" and "fault" are missing in those of older versions."""


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
        decisions: how often the agent decided.
        attempts: 1, or 2 if the episode was repeated after a crash or a lost connection.
        info: small JSON-able facts of the last step.
        fault: whose error, the agent's, the environment's or that of the server where the agent decides; None
            without an error, or if nobody noted it.
        agent: who acted, see `core.provenance.name_of`; None where nobody noted it.
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
    fault: Fault | None = None
    agent: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object; identity first, so that a line can be read by eye."""
        return {
            **self.episode.to_json(),
            "agent": self.agent,
            "success": self.success,
            "steps": self.steps,
            "return": self.return_,
            "error": self.error,
            "fault": self.fault,
            "decisions": self.decisions,
            "attempts": self.attempts,
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "info": self.info,
        }

    @classmethod
    def from_json(cls, record: Any, where: str = "an episode's record") -> EpisodeResult:
        """The inverse of `to_json`; other keys are left out.

        Args:
            record: what was read.
            where: file and line, for the error.

        Raises:
            ValueError: a field is missing or of another type; names the field.
        """
        line: Any = read_typed(_Line, record, where)
        own = {name: line[name] for name in line if name not in (*Episode.__dataclass_fields__, "return")}
        return cls(Episode.from_json(line), return_=line["return"], **own)
