"""SimplerEnv as an environment family: which suite, by which rules."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from playloop.core.annotations import Count, Known
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.conventions import Convention
from playloop.core.episode import Episode, choose_episodes
from playloop.core.kinds import kind
from playloop.core.results import EpisodeResult
from playloop.core.robots import bridge_contract, fractal_contract
from playloop.core.statistics import Average
from playloop.envs.config import EnvConfig
from playloop.envs.simpler import bridge
from playloop.envs.simpler.env import SimplerEnv, Terms
from playloop.envs.simpler.fractal import looks, protocol
from playloop.envs.simpler.fractal.env import FractalEnv
from playloop.envs.simpler.published import bridge_averages, fractal_averages
from playloop.envs.simpler.vulkan import render_device

SUITES = ("bridge", *protocol.SUITES)


@kind("simpler")
@checked
class SimplerConfig(EnvConfig):
    """A suite of SimplerEnv.

    Args:
        suite: "bridge": WidowX, four tasks of 24 layouts; "fractal": Google robot, five tasks in Visual
            Matching; "fractal_variants": the same in Variant Aggregation.
        success: "final": SimplerEnv lets every episode run to its limit and looks at its last step; "any": as
            soon as the goal holds, so that a block counts that was stacked and fell. They differ by tens of
            points. Demonstrations end early with "any".
        success_steps: with "any", for how many steps running the goal must hold.
        horizon: most actions; None is the task's published limit.
        shading: of pictures with a cabinet: "traced" follows light rays as published, which takes minutes
            without a GPU; "fast" rasterises; "auto" traces where there is a GPU.
        absent: what to do with variants whose stage or models are not among the assets: "refuse" or "skip".
    """

    suite: Annotated[str, Known(SUITES)] = "bridge"
    success: Literal["final", "any"] = "final"
    success_steps: Count = 1
    horizon: Count | None = None
    shading: Literal["auto", "fast", "traced"] = "auto"
    absent: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        if self.suite not in SUITES:
            near = difflib.get_close_matches(self.suite, SUITES, 1) or [SUITES[0]]
            raise ValueError(
                f"no suite {self.suite!r} in SimplerEnv; did you mean {near[0]!r}? "
                f"There are {', '.join(SUITES)}."
            )
        if self.success_steps > 1 and self.success == "final":
            raise ValueError("env.success_steps counts from 1, and more than 1 needs env.success=any")

    def make(self) -> SimplerEnv:
        """Construct the environment; scenes are loaded when an episode begins."""
        env = (bridge.BridgeEnv if self.suite == "bridge" else FractalEnv)(self.terms())
        env.config = self
        return env

    def terms(self) -> Terms:
        """What the environment is given."""
        limits = tuple(map(self.limit, range(len(self.task_names()))))
        hold = None if self.success == "final" else self.success_steps
        traced = self.suite != "bridge" and self.traced()
        return Terms(self.suite, self.contract(), limits, hold, traced)

    def task_names(self) -> list[str]:
        """Bridge: the instruction of every task; Fractal: its name, instructions depend on the layout."""
        return [task.instruction for task in bridge.TASKS] if self.suite == "bridge" else list(protocol.NAMES)

    def limit(self, task: int) -> int:
        """Most actions in an episode of a task."""
        published = bridge.TASKS[task].horizon if self.suite == "bridge" else protocol.HORIZONS[task]
        return self.horizon or published

    def traced(self) -> bool:
        """Whether pictures with a cabinet follow light rays."""
        return render_device() == "cuda" if self.shading == "auto" else self.shading == "traced"

    def averages(self, results: Sequence[EpisodeResult]) -> list[Average]:
        """What is published of such results."""
        judged = [result for result in results if result.error is None]
        if self.suite == "bridge":
            return bridge_averages(judged, self.task_names(), bridge.LAYOUTS)
        return fractal_averages(judged, self.suite)

    def deviations(self) -> str:
        """The protocol's name, and what departs from it."""
        named = ["variant aggregation" if self.suite == "fractal_variants" else "visual matching"]
        if self.suite != "bridge":
            named.append(f"shading={'traced' if self.traced() else 'fast'}")
        return ", ".join([*named, *self.departures("success", "success_steps", "horizon")])

    def contract(self) -> Contract:
        """The conventions, without building a simulator."""
        declare = bridge_contract if self.suite == "bridge" else fractal_contract
        held = Convention("goal-held", {"steps": self.success_steps})
        rule = Convention("goal-at-end") if self.success == "final" else held
        return declare(rule, self.deviations())

    def episodes(
        self, tasks: list[int] | None = None, inits: list[int] | int | None = None, seed: int = 0
    ) -> list[Episode]:
        """Task by task, the published initial states: all, the first `inits`, or the ones listed.

        A Fractal initial state is an appearance (recolour or variant) times layouts plus a layout.

        Raises:
            ValueError: a number is none of the suite's, or a variant's assets are absent and `absent` is
                "refuse".
        """
        if self.suite == "bridge":
            return choose_episodes(self.suite, (len(bridge.TASKS), bridge.LAYOUTS), tasks, inits, seed)
        for task in tasks or []:
            protocol.check(self.suite, task)
        known = len(protocol.NAMES), partial(protocol.count, suite=self.suite)
        found = choose_episodes(self.suite, known, tasks, inits, seed)
        return found if self.suite == "fractal" else self._present(found)

    def _present(self, episodes: list[Episode]) -> list[Episode]:
        """Those whose stages are there, or a sentence about those that are not."""
        setups = {episode: protocol.setup(episode) for episode in episodes}
        lacking = {episode: looks.lacking(setup.look, setup.layout) for episode, setup in setups.items()}
        absent = {setups[episode].look.name: path for episode, path in lacking.items() if path}
        if absent and self.absent == "refuse":
            raise ValueError(
                f"variants without their assets: {', '.join(absent)} ({next(iter(absent.values()))} is "
                "missing); fetch it, or leave such episodes out with env.absent=skip"
            )
        return [episode for episode, path in lacking.items() if not path]
