"""When an episode of SimplerEnv succeeds. Results by different rules differ by tens of points."""

from __future__ import annotations

from dataclasses import dataclass

from playloop.core.conventions import Convention

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
