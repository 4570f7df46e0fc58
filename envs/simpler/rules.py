"""When an episode of SimplerEnv succeeds. Results by different rules differ by tens of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from playloop.core.contract import Contract
from playloop.core.conventions import Convention
from playloop.core.episode import Episode

RULES = ("final", "any")
"""SimplerEnv lets every episode run to its limit and looks at its last step: a block that was stacked and
fell counts with "any" and not with "final"."""


@dataclass(frozen=True)
class Rule:
    """A rule.

    Args:
        name: of `RULES`.
        steps: with "any", for how many steps running the goal must hold.
    """

    name: str = "final"
    steps: int = 1

    def succeeded(self, held: int, last: bool) -> bool:
        """Whether an episode succeeds now.

        Args:
            held: steps running for which the goal has held.
            last: this step is the episode's last.
        """
        return held > 0 and last if self.name == "final" else held >= self.steps

    def convention(self) -> Convention:
        """As a contract declares it."""
        if self.name == "final":
            return Convention("goal-at-end")
        return Convention("goal-held", {"steps": self.steps})


@dataclass(frozen=True)
class Terms:
    """How a suite is played: what its environment is given of the settings.

    Args:
        suite: name in an episode's identity.
        contract: the declared conventions.
        rule: when an episode succeeds.
        limits: most actions of an episode, by the number of its task.
        episodes: gives those of the protocol.
        traced: whether pictures with a cabinet follow light rays.
    """

    suite: str
    contract: Contract
    rule: Rule
    limits: tuple[int, ...]
    episodes: Callable[[], list[Episode]]
    traced: bool = False
