"""SimplerEnv as an environment family: which suite, by which rules."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playloop.envs.contract import Contract
from playloop.envs.episode import Episode, choose_episodes
from playloop.envs.simpler import bridge
from playloop.envs.simpler.averages import bridge_averages
from playloop.envs.simpler.rules import RULES, Rule
from playloop.rollouts.record import EpisodeResult

SUITES = ("bridge",)


@dataclass
class SimplerConfig:
    """A suite of SimplerEnv.

    Args:
        suite: "bridge": WidowX, four tasks of 24 layouts.
        success: "final" or "any", see `RULES`; demonstrations end early with "any".
        success_steps: with "any", for how many steps running the goal must hold.
        horizon: most actions; None is the task's published limit.
    """

    suite: str = "bridge"
    success: str = "final"
    success_steps: int = 1
    horizon: int | None = None

    def __post_init__(self) -> None:
        if self.suite not in SUITES:
            near = difflib.get_close_matches(self.suite, SUITES, 1) or [SUITES[0]]
            raise ValueError(f"no suite {self.suite!r} in SimplerEnv; did you mean {near[0]!r}?")
        if self.success not in RULES:
            raise ValueError(f"env.success={self.success!r}: use one of {', '.join(RULES)}")
        if self.success_steps < 1 or (self.success_steps > 1 and self.success == "final"):
            raise ValueError("env.success_steps counts from 1, and more than 1 needs env.success=any")

    def make(self) -> bridge.BridgeEnv:
        """Construct the environment; scenes are loaded when an episode begins."""
        return bridge.BridgeEnv(self)

    def task_names(self) -> list[str]:
        """The instruction of every task."""
        return [task.instruction for task in bridge.TASKS]

    def limit(self, task: int) -> int:
        """Most actions in an episode of a task."""
        return self.horizon or bridge.TASKS[task].horizon

    @property
    def rule(self) -> Rule:
        """When an episode succeeds."""
        return Rule(self.success, self.success_steps)

    def averages(self, results: Sequence[EpisodeResult]) -> list[dict[str, Any]]:
        """What is published of such results: success and, apart from it, grasps."""
        judged = [result for result in results if result.error is None]
        return bridge_averages(judged, self.task_names(), bridge.LAYOUTS)

    def deviations(self) -> str:
        """The protocol's name, and what departs from it."""
        standard = SimplerConfig(self.suite)
        named = [
            f"{name}={getattr(self, name)}"
            for name in ("success", "success_steps", "horizon")
            if getattr(self, name) != getattr(standard, name)
        ]
        return ", ".join(["visual matching", *named])

    def contract(self) -> Contract:
        """The conventions, without building a simulator."""
        return bridge.bridge_contract(str(self.rule), self.deviations())

    def episodes(
        self, tasks: list[int] | None = None, inits: list[int] | int | None = None, seed: int = 0
    ) -> list[Episode]:
        """Task by task, the published layouts: all, the first `inits`, or the ones listed."""
        return choose_episodes(self.suite, (len(bridge.TASKS), bridge.LAYOUTS), tasks, inits, seed)
